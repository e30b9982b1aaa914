//! An MQTT 3.1.1 client of our own: bytes on a socket, so that the tests share no code with what they test.
//!
//! QoS 1 publishing only, with acknowledgements read when the test wants them.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// How long a server may take to answer a CONNECT.
const CONNECT: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    next_id: u16,
    received: Vec<u8>,
}

impl Client {
    /// Connects to a port on 127.0.0.1 and waits for the server's consent.
    pub fn connect(port: u16, client_id: &str, clean_session: bool) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut body = Vec::new();
        push_text(&mut body, "MQTT");
        // Protocol level 4; keep-alive of 60 s.
        body.extend_from_slice(&[4, u8::from(clean_session) << 1, 0, 60]);
        push_text(&mut body, client_id);
        stream.write_all(&packet(0x10, &body))?;
        let mut client = Self { stream, next_id: 0, received: Vec::new() };
        match client.next_packet(Instant::now() + CONNECT)? {
            Some((0x20, body)) if body.get(1) == Some(&0) => Ok(client),
            Some((0x20, body)) => Err(io::Error::other(format!("the server refuses: {body:?}"))),
            Some((kind, _)) => Err(io::Error::other(format!("CONNACK expected, found {kind:#x}"))),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Sends with QoS 1 and tells the packet's id; its acknowledgement comes later.
    pub fn publish(&mut self, topic: &str, payload: &[u8], again: bool) -> io::Result<u16> {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
        push_text(&mut body, topic);
        body.extend_from_slice(&self.next_id.to_be_bytes());
        body.extend_from_slice(payload);
        self.stream.set_read_timeout(None)?;
        self.stream.write_all(&packet(0x32 | u8::from(again) << 3, &body))?;
        Ok(self.next_id)
    }

    /// Sends with QoS 1 and waits for the acknowledgement.
    pub fn publish_acknowledged(
        &mut self,
        topic: &str,
        payload: &[u8],
        patience: Duration,
    ) -> io::Result<()> {
        let id = self.publish(topic, payload, false)?;
        match self.acknowledgement(patience)? {
            Some(acknowledged) if acknowledged == id => Ok(()),
            Some(other) => Err(io::Error::other(format!("{id} was sent, {other} acknowledged"))),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// The next PUBACK's packet id; none if there is none within the time.
    pub fn acknowledgement(&mut self, patience: Duration) -> io::Result<Option<u16>> {
        match self.next_packet(Instant::now() + patience)? {
            None => Ok(None),
            Some((0x40, body)) if body.len() == 2 => Ok(Some(u16::from_be_bytes([body[0], body[1]]))),
            Some((kind, _)) => Err(io::Error::other(format!("PUBACK expected, found {kind:#x}"))),
        }
    }

    /// Subscribes to a topic with QoS 0, and waits for the server's consent.
    pub fn subscribe(&mut self, filter: &str, patience: Duration) -> io::Result<()> {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let mut body = self.next_id.to_be_bytes().to_vec();
        push_text(&mut body, filter);
        body.push(0);
        self.stream.write_all(&packet(0x82, &body))?;
        match self.next_packet(Instant::now() + patience)? {
            Some((0x90, body)) if body.last() == Some(&0) => Ok(()),
            other => Err(io::Error::other(format!("SUBACK expected, found {other:?}"))),
        }
    }

    /// Topic and payload of the next message with QoS 0; none if there is none within the time.
    pub fn message(&mut self, patience: Duration) -> io::Result<Option<(String, Vec<u8>)>> {
        match self.next_packet(Instant::now() + patience)? {
            None => Ok(None),
            Some((kind, body)) if kind & 0xF6 == 0x30 && body.len() >= 2 => {
                let (length, rest) = body.split_at(2);
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                let topic = String::from_utf8_lossy(&rest[..length]).into_owned();
                Ok(Some((topic, rest[length..].to_vec())))
            }
            Some((kind, _)) => Err(io::Error::other(format!("a message expected, found {kind:#x}"))),
        }
    }

    /// Waits until the server ends the connection; false if it does not within the time.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            match self.next_packet(deadline) {
                Ok(None) => return false,
                Ok(Some(_)) => {}
                Err(_) => return true,
            }
        }
    }

    /// Says good-bye.
    pub fn disconnect(mut self) {
        self.stream.write_all(&packet(0xE0, &[])).ok();
    }

    /// First byte and body of the next packet; none at the deadline.
    fn next_packet(&mut self, deadline: Instant) -> io::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some((header, length)) = whole_packet(&self.received) {
                let rest = self.received.split_off(header + length);
                let found = std::mem::replace(&mut self.received, rest);
                return Ok(Some((found[0], found[header..].to_vec())));
            }
            // A timeout of zero would mean none at all.
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left))?;
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= deadline {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Lengths of header and body, once both have come.
fn whole_packet(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7F) << (7 * (index - 1));
        if byte & 0x80 == 0 {
            return (bytes.len() > index + length).then_some((index + 1, length));
        }
    }
    None
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(first);
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).expect("a remainder of 128");
        left /= 128;
        out.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("MQTT texts are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_cut_from_a_stream_as_they_were_put_together() {
        let body = vec![7; 300];
        let mut stream = packet(0x32, &body);
        stream.extend(packet(0x40, &[0, 9]));

        assert_eq!(whole_packet(&stream[..302]), None);
        assert_eq!(whole_packet(&stream), Some((3, 300)));
        assert_eq!(whole_packet(&stream[303..]), Some((2, 2)));
        assert_eq!(whole_packet(&[0x20]), None);
    }
}
