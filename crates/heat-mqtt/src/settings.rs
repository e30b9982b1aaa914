//! Settings as written, checked as a whole: every fault is reported with its key path, none stops the search.

use std::{fmt, io, net::SocketAddr, path::Path, time::Duration};

use heat_model::time::parse_duration;

pub use listen::{ListenSettings, RawListen};
pub use subscribe::{ProtocolVersion, RawSubscribe, SubscribeSettings};
pub use tls::{RawClientTls, RawListenTls, TlsListenSettings};
pub use users::{AnyCertificate, ClientIdRule, RawUser, User};

mod listen;
mod subscribe;
mod tls;
mod users;

/// One fault of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Key path, e.g. `gateway.listen.users[2].password_file`.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// Where secrets come from. The environment and the file system are passed in, so that checking is testable.
#[derive(Clone, Copy)]
pub struct SecretSource<'a> {
    /// Looks an environment variable up.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file.
    pub file: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl fmt::Debug for SecretSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSource")
    }
}

/// A password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the lengths only.
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let mut difference = u8::from(own.len() != given.len());
        for (index, &byte) in given.iter().enumerate() {
            // An index beyond our own secret compares with some byte of it: the lengths differ already.
            let own_byte = if own.is_empty() { !byte } else { own[index % own.len()] };
            difference = std::hint::black_box(difference | (own_byte ^ byte));
        }
        difference == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Collects faults under key paths.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    path: String,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(path: &str, faults: &'a mut Vec<Fault>) -> Self {
        Self { path: path.to_owned(), faults }
    }

    pub(crate) fn fault(&mut self, key: &str, problem: impl Into<String>) {
        let key = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        self.faults.push(Fault { key, problem: problem.into() });
    }

    /// The check of a table within this one, whose key path is `path`.
    pub(crate) fn table(&mut self, path: &str, name: &str) -> Check<'_> {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        Check { path, faults: self.faults }
    }

    /// How many faults were found.
    pub(crate) fn count(&self) -> usize {
        self.faults.len()
    }

    /// An address with port; none and a fault where it is none.
    pub(crate) fn address(&mut self, key: &str, written: &str) -> Option<SocketAddr> {
        let address = written.parse().ok();
        if address.is_none() {
            self.fault(key, "not an address with port, such as \"127.0.0.1:1883\" or \"[::1]:1883\"");
        }
        address
    }

    /// A duration with unit within bounds, or the default.
    pub(crate) fn duration(
        &mut self,
        key: &str,
        written: Option<&str>,
        default: Duration,
        bounds: (Duration, Duration),
    ) -> Duration {
        let Some(written) = written else { return default };
        match parse_duration(written) {
            Ok(duration) if duration >= bounds.0 && duration <= bounds.1 => duration,
            Ok(_) => {
                self.fault(key, format!("{written:?} is outside {:?} to {:?}", bounds.0, bounds.1));
                default
            }
            Err(problem) => {
                self.fault(key, problem);
                default
            }
        }
    }

    /// A number within bounds, or the default.
    pub(crate) fn number<N: PartialOrd + fmt::Display + Copy>(
        &mut self,
        key: &str,
        written: Option<N>,
        default: N,
        bounds: (N, N),
    ) -> N {
        match written {
            Some(number) if number < bounds.0 || number > bounds.1 => {
                self.fault(key, format!("{number} is outside {} to {}", bounds.0, bounds.1));
                default
            }
            Some(number) => number,
            None => default,
        }
    }

    /// A password from a file or from the environment; exactly one of the two, if `needed`.
    pub(crate) fn secret(
        &mut self,
        prefix: &str,
        file: Option<&str>,
        variable: Option<&str>,
        source: SecretSource<'_>,
        needed: bool,
    ) -> Option<Secret> {
        let file_key = format!("{prefix}password_file");
        let env_key = format!("{prefix}password_env");
        let secret = match (file, variable) {
            (Some(_), Some(_)) => {
                self.fault(&file_key, "password_file and password_env exclude each other");
                return None;
            }
            (Some(file), None) => match (source.file)(Path::new(file)) {
                Ok(text) => (file_key, text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    self.fault(&file_key, format!("read {file:?}: {error}"));
                    return None;
                }
            },
            (None, Some(variable)) => match (source.environment)(variable) {
                Some(text) => (env_key, text),
                None => {
                    self.fault(&env_key, format!("the environment variable {variable:?} is not set"));
                    return None;
                }
            },
            (None, None) => {
                if needed {
                    self.fault(&file_key, "a user needs password_file or password_env");
                }
                return None;
            }
        };
        let (key, text) = secret;
        if text.is_empty() {
            self.fault(&key, "the password is empty");
            return None;
        }
        Some(Secret(text))
    }
}

#[cfg(test)]
mod tests;
