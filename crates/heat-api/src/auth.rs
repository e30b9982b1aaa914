//! Users: who asks, and what they may do. Tokens are kept as SHA-256 only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use axum::http::{HeaderMap, Method, header};
use heat_model::plant::{Network, Site};
use sha2::{Digest as _, Sha256};

pub(crate) mod limit;
pub(crate) mod session;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserRole {
    /// Read, but for dead letters, whose bytes nobody has checked.
    Viewer,
    /// Read, and command what one incident or place needs.
    Operator,
    /// Everything: also what makes detection blind for a whole network or circuit (its season, a maintenance window
    /// without a place), and taking dead letters again, which belongs to who mends what caused them.
    Admin,
    /// The city's feed only.
    CityCentre,
}

impl UserRole {
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "viewer" => Self::Viewer,
            "operator" => Self::Operator,
            "admin" => Self::Admin,
            "city-centre" => Self::CityCentre,
            _ => return None,
        })
    }

    /// Whether a request of this method and path is allowed.
    fn may(self, method: &Method, path: &str) -> bool {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Admin => true,
            Self::Operator => path != "/api/v1/rejected/requeue",
            Self::Viewer => reads && !path.starts_with("/api/v1/rejected"),
            Self::CityCentre => {
                reads && (path == "/api/v1/openapi.json" || path.starts_with("/api/v1/feeds/"))
            }
        }
    }

    /// Whether this user may command.
    pub(crate) const fn commands(self) -> bool {
        matches!(self, Self::Operator | Self::Admin)
    }

    /// Whether this user may command what concerns a whole network or circuit.
    pub(crate) const fn governs(self) -> bool {
        matches!(self, Self::Admin)
    }
}

/// Who runs something, and in which district.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    pub(crate) operator: Option<&'a str>,
    pub(crate) district: Option<&'a str>,
}

impl<'a> Owner<'a> {
    pub(crate) fn of_network(row: Option<&'a Network>) -> Self {
        Self {
            operator: row.and_then(|row| row.operator.as_deref()),
            district: row.and_then(|row| row.district.as_deref()),
        }
    }

    /// A site's owner, where its own row names one; what it leaves open is as in its network.
    pub(crate) fn of_site(self, row: Option<&'a Site>) -> Self {
        Self {
            operator: row.and_then(|row| row.operator.as_deref()).or(self.operator),
            district: row.and_then(|row| row.district.as_deref()).or(self.district),
        }
    }
}

/// Which networks a user sees: those of certain operators, in certain districts; empty sets let all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    operators: Arc<BTreeSet<String>>,
    districts: Arc<BTreeSet<String>>,
}

impl Scope {
    /// Whether everything is seen.
    pub(crate) fn is_whole(&self) -> bool {
        self.operators.is_empty() && self.districts.is_empty()
    }

    /// Whether a network is seen, by its row of the plant model. One that the plant model does not place is seen by
    /// those only who see everything.
    pub(crate) fn covers(&self, network: Option<&Network>) -> bool {
        self.covers_owner(Owner::of_network(network))
    }

    /// Whether what this owner has is seen.
    pub(crate) fn covers_owner(&self, owner: Owner<'_>) -> bool {
        let within = |names: &BTreeSet<String>, name: Option<&str>| {
            names.is_empty() || name.is_some_and(|name| names.contains(&name.replace(' ', "_")))
        };
        within(&self.operators, owner.operator) && within(&self.districts, owner.district)
    }

    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, &'static str> {
        let (mut operators, mut districts) = (BTreeSet::new(), BTreeSet::new());
        for word in words {
            let known = match word.split_once('=') {
                Some(("operator", name)) if !name.is_empty() => operators.insert(name.to_owned()),
                Some(("district", name)) if !name.is_empty() => districts.insert(name.to_owned()),
                Some(_) | None => return Err("a fourth word is operator=NAME or district=NAME, spaces as _"),
            };
            if !known {
                return Err("the same operator or district stands twice");
            }
        }
        Ok(Self { operators: operators.into(), districts: districts.into() })
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: Arc<str>,
    pub(crate) role: UserRole,
    pub(crate) scope: Scope,
}

impl User {
    /// Whether a request of this method and path is allowed. What concerns all networks, such as dead letters, whose
    /// network is what their topic claims, is for those who see all of them.
    pub(crate) fn may(&self, method: &Method, path: &str) -> bool {
        let concerns_all = ["/api/v1/rejected", "/api/v1/audit", "/health"];
        self.role.may(method, path)
            && (self.scope.is_whole() || !concerns_all.iter().any(|prefix| path.starts_with(prefix)))
    }
}

/// A line of the tokens file is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {problem}; a line is `name role sha256 [operator=NAME] [district=NAME]`, the hash as of `printf %s TOKEN | sha256sum`"
)]
pub struct TokensFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong; never quotes the line.
    pub problem: &'static str,
}

/// The users; none means that everybody on this machine is the operator.
#[derive(Default)]
pub(crate) struct Users {
    by_hash: BTreeMap<[u8; 32], User>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.by_hash.len())
    }
}

impl Users {
    /// Reads the tokens file; empty lines and lines that begin with `#` are left out.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<TokensFault>> {
        let mut users = Self::default();
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(problem) = users.add(line) {
                faults.push(TokensFault { line: index + 1, problem });
            }
        }
        if faults.is_empty() { Ok(users) } else { Err(faults) }
    }

    fn add(&mut self, line: &str) -> Result<(), &'static str> {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(role), Some(hash)) = (words.next(), words.next(), words.next()) else {
            return Err("it has fewer than three words");
        };
        let scope = Scope::parse(words)?;
        if name.len() > 64 {
            return Err("the name is longer than 64 bytes");
        }
        let role =
            UserRole::from_word(role).ok_or("the role is not viewer, operator, admin or city-centre")?;
        let hash = parse_hash(hash).ok_or("the hash is not 64 hexadecimal digits")?;
        let user = User { name: name.into(), role, scope };
        match self.by_hash.insert(hash, user) {
            Some(_) => Err("another user has the same token"),
            None => Ok(()),
        }
    }

    /// Whether nobody is configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Who sent these headers; `None` if it is nobody we know.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Option<User> {
        if self.is_empty() {
            return Some(User { name: "local".into(), role: UserRole::Admin, scope: Scope::default() });
        }
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.of_token(token)
    }

    /// Whose token this is.
    pub(crate) fn of_token(&self, token: &str) -> Option<User> {
        // Looking up the hash tells by its time nothing of use about the tokens.
        let hash: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
        self.by_hash.get(&hash).cloned()
    }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// Whether a `Host` header names this machine: without users, a page of another site must not reach the API through a
/// name that it lets point here.
pub(crate) fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    /// SHA-256 of "abc", FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_token_is_known_by_its_hash() {
        let users = Users::parse(&format!("# desk\n\nduty operator {ABC}\n")).unwrap();
        let user = users.authenticate(&headers(header::AUTHORIZATION, "Bearer abc")).unwrap();
        assert_eq!((&*user.name, user.role), ("duty", UserRole::Operator));
        for wrong in ["Bearer abd", "Bearer", "Basic abc", ABC] {
            assert!(users.authenticate(&headers(header::AUTHORIZATION, wrong)).is_none(), "{wrong}");
        }
        assert!(users.authenticate(&HeaderMap::new()).is_none());
        assert!(!format!("{users:?}").contains("duty"));
    }

    #[test]
    fn faults_of_the_file_name_the_line_and_never_quote_it() {
        let faults = Users::parse("duty operator abc\nduty boss secret\n").map(|_| ()).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 2]);
        assert!(faults.iter().all(|fault| !fault.to_string().contains("secret")));
    }

    #[test]
    fn a_viewer_reads_and_the_city_centre_sees_its_feed_only() {
        let (get, post) = (Method::GET, Method::POST);
        assert!(UserRole::Viewer.may(&get, "/api/v1/incidents"));
        assert!(!UserRole::Viewer.may(&post, "/api/v1/incidents/x/acknowledge"));
        assert!(!UserRole::Viewer.may(&get, "/api/v1/rejected/0-1"));
        assert!(UserRole::Operator.may(&get, "/api/v1/rejected"));
        assert!(UserRole::Operator.may(&post, "/api/v1/incidents/x/acknowledge"));
        assert!(!UserRole::Operator.may(&post, "/api/v1/rejected/requeue"));
        assert!(UserRole::Admin.may(&post, "/api/v1/rejected/requeue"));
        assert!(!UserRole::CityCentre.may(&get, "/api/v1/incidents"));
        assert!(UserRole::CityCentre.may(&get, "/api/v1/feeds/city"));
    }

    #[test]
    fn a_scope_shows_networks_of_its_operators_and_districts_only() {
        let line = format!("centre city-centre {ABC} operator=North_Heat district=Daoli district=Nangang");
        let users = Users::parse(&line).unwrap();
        let scope = users.of_token("abc").unwrap().scope;
        let network = |operator: &str, district: Option<&str>| Network {
            id: "n".parse().unwrap(),
            name: None,
            medium: None,
            time_zone: None,
            operator: Some(operator.to_owned()),
            district: district.map(str::to_owned),
        };
        assert!(scope.covers(Some(&network("North Heat", Some("Daoli")))));
        assert!(!scope.covers(Some(&network("North Heat", Some("Xiangfang")))));
        assert!(!scope.covers(Some(&network("South Heat", Some("Daoli")))));
        assert!(!scope.covers(Some(&network("North Heat", None))));
        assert!(!scope.covers(None));
        assert!(Scope::default().covers(None));
        assert!(Users::parse(&format!("centre viewer {ABC} street=x")).is_err());
    }

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in ["localhost:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"] {
            assert!(is_loopback_host(&headers(header::HOST, host)), "{host}");
        }
        for host in ["evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1:8080"] {
            assert!(!is_loopback_host(&headers(header::HOST, host)), "{host}");
        }
        assert!(!is_loopback_host(&HeaderMap::new()));
    }
}
