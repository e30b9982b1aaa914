//! Sessions of the console: a random name in a cookie, kept here as its hash only, until it ends or the process does.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use super::User;

/// The cookie's name.
pub(crate) const COOKIE: &str = "heatstream_session";
/// Most sessions at once; the oldest ends.
const SESSIONS_MAX: usize = 4_096;
/// Bytes of a session's name.
const NAME_BYTES: usize = 32;

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub(crate) struct NoRandomness(getrandom::Error);

#[derive(Debug)]
struct Session {
    user: User,
    begun: Instant,
}

/// Who is logged in.
#[derive(Debug)]
pub(crate) struct Sessions {
    longest: Duration,
    open: Mutex<BTreeMap<[u8; 32], Session>>,
}

impl Sessions {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, open: Mutex::default() }
    }

    /// Begins a session; returns its name, which only the cookie keeps.
    pub(crate) fn begin(&self, user: User, now: Instant) -> Result<String, NoRandomness> {
        let mut bytes = [0; NAME_BYTES];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        let name = hex(&bytes);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| now.duration_since(session.begun) < self.longest);
        if open.len() >= SESSIONS_MAX {
            let oldest = open.iter().min_by_key(|(_, session)| session.begun).map(|(hash, _)| *hash);
            oldest.map(|hash| open.remove(&hash));
        }
        open.insert(hash_of(&name), Session { user, begun: now });
        Ok(name)
    }

    /// Whose session these headers name.
    pub(crate) fn find(&self, headers: &HeaderMap, now: Instant) -> Option<User> {
        let hash = hash_of(&name_in(headers)?);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&hash)?;
        (now.duration_since(session.begun) < self.longest).then(|| session.user.clone())
    }

    /// Ends the session that these headers name.
    pub(crate) fn end(&self, headers: &HeaderMap) {
        if let Some(name) = name_in(headers) {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash_of(&name));
        }
    }

    /// The cookie that keeps a session's name; an empty name makes the browser forget it.
    pub(crate) fn cookie(&self, name: &str, secure: bool) -> HeaderValue {
        let seconds = if name.is_empty() { 0 } else { self.longest.as_secs() };
        let secure = if secure { "; Secure" } else { "" };
        let text = format!("{COOKIE}={name}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
        HeaderValue::try_from(text).expect("a name is hexadecimal")
    }
}

/// The value of a cookie.
pub(crate) fn cookie_in<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn name_in(headers: &HeaderMap) -> Option<String> {
    let name = cookie_in(headers, COOKIE)?;
    (name.len() == 2 * NAME_BYTES).then(|| name.to_owned())
}

fn hash_of(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use heat_runtime::Clock;

    use super::*;
    use crate::auth::{Scope, UserRole};

    fn duty() -> User {
        User { name: "duty".into(), role: UserRole::Operator, scope: Scope::default() }
    }

    fn with_cookie(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())])
    }

    #[test]
    fn a_session_is_known_by_its_cookie_until_it_ends() {
        let sessions = Sessions::new(Duration::from_hours(12));
        let now = Clock.instant();
        let name = sessions.begin(duty(), now).unwrap();
        let headers = with_cookie(&format!("lang=en; {COOKIE}={name}"));
        assert_eq!(&*sessions.find(&headers, now).unwrap().name, "duty");
        assert!(sessions.find(&headers, now + Duration::from_hours(12)).is_none());
        for wrong in [format!("{COOKIE}="), format!("{COOKIE}={}", "0".repeat(64)), "lang=en".to_owned()] {
            assert!(sessions.find(&with_cookie(&wrong), now).is_none(), "{wrong}");
        }
        sessions.end(&headers);
        assert!(sessions.find(&headers, now).is_none());
    }

    #[test]
    fn two_sessions_have_two_names_and_the_cookie_stays_out_of_scripts_and_other_sites() {
        let sessions = Sessions::new(Duration::from_hours(1));
        let now = Clock.instant();
        let (one, other) = (sessions.begin(duty(), now).unwrap(), sessions.begin(duty(), now).unwrap());
        assert_ne!(one, other);
        let cookie = sessions.cookie(&one, true);
        let cookie = cookie.to_str().unwrap();
        for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=3600"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
    }
}
