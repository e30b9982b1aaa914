//! A server of the S3 protocol: moto, from the environment that `.ci/install` makes. It keeps objects in memory and
//! believes every signature.

use std::{process::Stdio, time::Duration};

use crate::{Process, free_port, python::Python, wait_until};

/// A running server with one bucket. It ends with the test.
#[derive(Debug)]
pub struct S3 {
    port: u16,
    bucket: String,
    _process: Process,
}

impl S3 {
    /// Starts one; `None`, with a line that says how to get it, where it is missing.
    pub fn start(bucket: &str) -> Option<Self> {
        let python = Python::find()?;
        let port = free_port();
        let child = python
            .module("moto.server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python can be run");
        let server = Self { port, bucket: bucket.to_owned(), _process: Process(child) };
        let url = format!("http://127.0.0.1:{port}/{bucket}");
        wait_until("the S3 server makes a bucket", Duration::from_secs(60), || {
            ureq::put(&url).send_empty().is_ok()
        });
        Some(server)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Keys of all objects, in order, as the server itself lists them (the first thousand).
    pub fn keys(&self) -> Vec<String> {
        let url = format!("http://127.0.0.1:{}/{}?list-type=2", self.port, self.bucket);
        let mut answer = ureq::get(&url).call().expect("the S3 server lists its objects");
        let listed = answer.body_mut().read_to_string().expect("the list is text");
        listed
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| rest.split("</Key>").next())
            .map(str::to_owned)
            .collect()
    }
}
