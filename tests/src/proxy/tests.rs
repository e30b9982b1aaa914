use std::{
    io::{ErrorKind, Read as _, Write as _},
    time::Instant,
};

use super::*;

/// A server that sends back what it gets.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                std::io::copy(&mut { stream }, &mut writer).ok();
            });
        }
    });
    port
}

fn client(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text)?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn an_open_proxy_passes_everything_on_and_the_good_bye_too() {
    let proxy = Proxy::start(echo());
    let mut stream = client(&proxy);
    let large: Vec<u8> = (0..1_000_000_u32).map(|index| index.to_le_bytes()[0]).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = large.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });

    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();

    writing.join().unwrap();
    assert!(received == large, "{} of {} bytes", received.len(), large.len());
}

#[test]
fn a_held_direction_keeps_bytes_and_connection_until_it_opens() {
    for way in [Way::ToServer, Way::ToClient] {
        let proxy = Proxy::start(echo());
        let mut stream = client(&proxy);
        assert_eq!(ask(&mut stream, b"before").unwrap(), b"before");
        proxy.set(way, Flow::Held);
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();

        let nothing = ask(&mut stream, b"during").unwrap_err();

        assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{way:?}: {nothing}");
        proxy.set(way, Flow::Open);
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut late = [0; 6];
        stream.read_exact(&mut late).unwrap();
        assert_eq!(&late, b"during");
    }
}

#[test]
fn a_slow_link_takes_its_time_each_way_and_loses_nothing() {
    let latency = Duration::from_millis(40);
    let proxy = Proxy::start(echo());
    proxy.set_both(Flow::Slow { latency, loss_per_thousand: 300 });
    let mut stream = client(&proxy);
    let text: Vec<u8> = (0..20_000_u32).map(|index| index.to_le_bytes()[0]).collect();

    let start = Instant::now();
    let answer = ask(&mut stream, &text).unwrap();

    assert!(start.elapsed() >= 2 * latency, "{:?}", start.elapsed());
    assert!(answer == text);
}

#[test]
fn a_reset_reaches_the_client_as_a_reset() {
    let proxy = Proxy::start(echo());
    let mut stream = client(&proxy);
    assert_eq!(ask(&mut stream, b"before").unwrap(), b"before");

    proxy.reset_all();

    let error = ask(&mut stream, b"after").and_then(|_| ask(&mut stream, b"again")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(ask(&mut client(&proxy), b"new").unwrap(), b"new");
}

#[test]
fn the_open_side_of_a_half_open_connection_hears_nothing() {
    let proxy = Proxy::start(echo());
    let mut stream = client(&proxy);
    assert_eq!(ask(&mut stream, b"before").unwrap(), b"before");
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();

    proxy.half_open(Side::Server);

    let nothing = ask(&mut stream, b"into the void").unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    assert_eq!(ask(&mut client(&proxy), b"new").unwrap(), b"new");
}
