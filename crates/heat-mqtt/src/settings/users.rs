//! Who may connect, and for what they may speak.

use std::{collections::HashSet, sync::Arc};

use serde::Deserialize;

use super::{Check, Secret, SecretSource};
use crate::rights::Rights;

/// The user that stands for every certificate without a user of its own.
const ANY_CERTIFICATE: &str = "*";
/// What stands for the certificate's name among the sites of that user.
const NAME: &str = "{name}";

/// A user as written: one with a password, or one whose certificate bears its name, or both.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawUser {
    /// User name, or the name in the device's certificate. `*` stands for every certificate whose name is not listed.
    pub name: String,
    /// File that holds the password; a line end at its end does not count.
    pub password_file: Option<String>,
    /// Environment variable that holds the password.
    pub password_env: Option<String>,
    /// Networks it may speak for, with all their sites; `*` for all. Without networks and sites: everything.
    pub networks: Option<Vec<String>>,
    /// Sites it may speak for, as `network/site`; `*` for all. With the user `*`, `{name}` is the certificate's name.
    pub sites: Option<Vec<String>>,
    /// Client ids it may use: `"any"` (default), `"user"` (its own name) or `"prefix"` (its name, or beginning with it).
    pub client_id: ClientIdRule,
}

/// Which client ids a user may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientIdRule {
    /// Any.
    #[default]
    Any,
    /// The user's name.
    User,
    /// The user's name, or one that begins with it.
    Prefix,
}

impl ClientIdRule {
    /// Whether the user may use the client id.
    pub(crate) fn allows(self, user: &str, client_id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::User => client_id == user,
            Self::Prefix => client_id.starts_with(user),
        }
    }
}

/// One who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User name, or the name in the device's certificate.
    pub name: String,
    /// Password; none where only a certificate proves the name.
    pub password: Option<Secret>,
    /// What it may speak for; none: everything.
    pub rights: Option<Arc<Rights>>,
    /// Which client ids it may use.
    pub client_id: ClientIdRule,
}

impl User {
    /// One with a password, any client id, and the right to speak for everything.
    pub fn with_password(name: impl Into<String>, password: Secret) -> Self {
        Self { name: name.into(), password: Some(password), rights: None, client_id: ClientIdRule::Any }
    }
}

/// What devices may do whose certificate names none of the users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnyCertificate {
    /// Networks, and sites in which `{name}` is the certificate's name; none: everything.
    pub(crate) speaks_for: Option<(Vec<String>, Vec<String>)>,
    /// Which client ids they may use.
    pub(crate) client_id: ClientIdRule,
}

impl AnyCertificate {
    /// The rights of one device; an error where its name makes no site of the pattern.
    pub(crate) fn rights(&self, name: &str) -> Result<Option<Arc<Rights>>, Vec<(String, String)>> {
        let Some((networks, sites)) = &self.speaks_for else { return Ok(None) };
        let sites: Vec<String> = sites.iter().map(|site| site.replace(NAME, name)).collect();
        Rights::parse(networks, &sites).map(|rights| Some(Arc::new(rights)))
    }
}

/// Checks all users; `has_certificates` tells whether devices may show any.
pub(crate) fn check(
    raw: &[RawUser],
    check: &mut Check<'_>,
    secrets: SecretSource<'_>,
    has_certificates: bool,
) -> (Vec<User>, Option<AnyCertificate>) {
    let mut names = HashSet::new();
    let mut users = Vec::new();
    let mut any_certificate = None;
    for (index, user) in raw.iter().enumerate() {
        let prefix = format!("users[{index}].");
        if user.name.is_empty() {
            check.fault(&format!("{prefix}name"), "a user needs a name");
        } else if !names.insert(&user.name) {
            check.fault(&format!("{prefix}name"), format!("{:?} is listed twice", user.name));
        }
        if user.name == ANY_CERTIFICATE {
            any_certificate = Some(check_any_certificate(user, &prefix, check, has_certificates));
            continue;
        }
        let rights = check_rights(user, &prefix, check);
        let files = (user.password_file.as_deref(), user.password_env.as_deref());
        let faults_before = check.count();
        let password = check.secret(&prefix, files.0, files.1, secrets, !has_certificates);
        if check.count() == faults_before {
            users.push(User { name: user.name.clone(), password, rights, client_id: user.client_id });
        }
    }
    (users, any_certificate)
}

fn check_rights(user: &RawUser, prefix: &str, check: &mut Check<'_>) -> Option<Arc<Rights>> {
    let (networks, sites) = written(user, prefix, check)?;
    match Rights::parse(&networks, &sites) {
        Ok(rights) => Some(Arc::new(rights)),
        Err(faults) => {
            for (place, problem) in faults {
                check.fault(&format!("{prefix}{place}"), problem);
            }
            None
        }
    }
}

/// Networks and sites as written; none where neither is.
fn written(user: &RawUser, prefix: &str, check: &mut Check<'_>) -> Option<(Vec<String>, Vec<String>)> {
    if user.networks.is_none() && user.sites.is_none() {
        return None;
    }
    let lists = (user.networks.clone().unwrap_or_default(), user.sites.clone().unwrap_or_default());
    if lists.0.is_empty() && lists.1.is_empty() {
        check.fault(
            &format!("{prefix}networks"),
            "the user may speak for nothing: name networks or sites, or leave both out for everything",
        );
    }
    Some(lists)
}

fn check_any_certificate(
    user: &RawUser,
    prefix: &str,
    check: &mut Check<'_>,
    has_certificates: bool,
) -> AnyCertificate {
    if !has_certificates {
        check.fault(
            &format!("{prefix}name"),
            "* stands for devices with a certificate: set client_ca_file and client_certificate in the table tls",
        );
    }
    if user.password_file.is_some() || user.password_env.is_some() {
        check.fault(&format!("{prefix}name"), "* stands for certificates and has no password");
    }
    let any = AnyCertificate { speaks_for: written(user, prefix, check), client_id: user.client_id };
    if let Err(faults) = any.rights("name") {
        for (place, problem) in faults {
            check.fault(&format!("{prefix}{place}"), problem);
        }
    }
    any
}
