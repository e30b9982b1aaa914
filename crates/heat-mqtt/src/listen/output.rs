//! What waits to be written to a device.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// A burst's buffer is given back, an ordinary one is kept.
const KEPT_BYTES: usize = 4096;

/// Bytes to write, and how far they have come.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Add to its end only.
    pub(crate) bytes: Vec<u8>,
    written: usize,
    /// All is written, and a cipher below may hold some of it back.
    is_unflushed: bool,
    /// The peer took something since this was last asked.
    has_moved: bool,
}

impl Output {
    /// Whether something has not left yet.
    pub(crate) fn is_pending(&self) -> bool {
        !self.bytes.is_empty() || self.is_unflushed
    }

    /// Whether the peer took something since this was last called.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Writes on; ready when all has left.
    pub(crate) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.is_unflushed = true;
            self.has_moved = true;
        }
        self.written = 0;
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.is_unflushed = false;
        self.has_moved = true;
        Poll::Ready(Ok(()))
    }

    /// Writes the rest and ends the stream.
    pub(crate) async fn write_last<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        stream.write_all(&self.bytes[self.written..]).await?;
        stream.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes what is written, and lets it leave only when told.
    #[derive(Debug, Default)]
    struct Cipher {
        held: Vec<u8>,
        left: Vec<u8>,
        may_leave: bool,
    }

    impl AsyncWrite for Cipher {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !self.may_leave {
                return Poll::Pending;
            }
            let held = std::mem::take(&mut self.held);
            self.left.extend(held);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_a_cipher_holds_back_is_pending_until_it_has_left() {
        let (mut output, mut cipher) = (Output::default(), Cipher::default());
        let mut cx = Context::from_waker(Waker::noop());
        output.bytes.extend_from_slice(b"abc");

        assert!(output.poll(&mut cipher, &mut cx).is_pending());
        assert!(output.is_pending(), "written, not yet gone");
        cipher.may_leave = true;
        assert!(output.poll(&mut cipher, &mut cx).is_ready());

        assert!(!output.is_pending());
        assert_eq!(cipher.left, b"abc");
    }
}
