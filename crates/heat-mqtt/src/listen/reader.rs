//! What is read from a device's socket: chunks of whole packets. Bytes are read into a buffer that all connections of a
//! thread share, so an idle connection holds none.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::wire::{self, Malformed};

/// Read at once: some hundred messages, one system call.
const CHUNK_BYTES: usize = 64 << 10;

thread_local! {
    static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK_BYTES].into_boxed_slice());
}

/// A stream with what was read of an incomplete packet.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    pub(crate) partial: BytesMut,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// Reads once; returns the bytes read so far if they hold a complete packet, or its end was not found in
    /// `packet_max_bytes`.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        packet_max_bytes: usize,
    ) -> Poll<io::Result<Received>> {
        CHUNK.with_borrow_mut(|shared| {
            let mut buffer = ReadBuf::new(shared);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(Received::End));
            }
            if self.partial.is_empty() && !is_incomplete(read, packet_max_bytes) {
                return Poll::Ready(Ok(Received::Chunk(Bytes::copy_from_slice(read))));
            }
            self.partial.extend_from_slice(read);
            if is_incomplete(&self.partial, packet_max_bytes) {
                return Poll::Ready(Ok(Received::Part));
            }
            Poll::Ready(Ok(Received::Chunk(std::mem::take(&mut self.partial).freeze())))
        })
    }

    pub(crate) async fn chunk(&mut self, packet_max_bytes: usize) -> io::Result<Received> {
        poll_fn(|cx| self.poll_chunk(cx, packet_max_bytes)).await
    }

    /// Keeps what is left of a chunk.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial = BytesMut::from(rest);
    }
}

#[derive(Debug)]
pub(crate) enum Received {
    Chunk(Bytes),
    Part,
    End,
}

/// Whether the first packet is incomplete, well-formed so far, and not too large.
fn is_incomplete(bytes: &[u8], packet_max_bytes: usize) -> bool {
    match wire::frame(bytes) {
        Ok(None) => true,
        Ok(Some(frame)) => frame.end > bytes.len() && frame.end <= packet_max_bytes,
        Err(Malformed) => false,
    }
}
