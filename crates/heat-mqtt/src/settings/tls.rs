//! Settings of TLS, both ways.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{Check, SecretSource};
use crate::tls::{
    CertificateIdentity, ClientCertificate, ClientTls, ServerFiles, TlsError, client_config, server_config,
};

const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 8883);
/// Enough to keep any machine busy; what is above it waits for its turn, not for its time.
const HANDSHAKES_MAX: usize = 500;

/// The listener's TLS as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawListenTls {
    /// `host:port` to bind, an address, not a name. Default `127.0.0.1:8883`.
    pub address: Option<String>,
    /// The server's certificate with its chain, PEM.
    pub certificate_file: Option<String>,
    /// Its key, PEM.
    pub key_file: Option<String>,
    /// Authorities of the devices' certificates, PEM.
    pub client_ca_file: Option<String>,
    /// Revocation lists of those authorities, PEM: devices whose certificates they name are refused.
    pub client_crl_file: Option<String>,
    /// `"required"` (default where there is a `client_ca_file`), `"optional"` or `"none"`.
    pub client_certificate: Option<ClientCertificate>,
    /// Which name of a certificate is the device's: `"common_name"` (default), `"dns"` or `"uri"`.
    pub identity: CertificateIdentity,
    /// Handshakes that go on at the same time at most.
    pub handshakes_max: Option<usize>,
}

/// The listener's TLS, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsListenSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// Certificate, key and authorities.
    pub files: ServerFiles,
    /// Whether devices must show a certificate.
    pub client_certificate: ClientCertificate,
    /// Which name of it is the device's.
    pub identity: CertificateIdentity,
    /// Handshakes that go on at the same time at most.
    pub handshakes_max: usize,
}

/// A client's TLS as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawClientTls {
    /// Authorities of the server's certificate, PEM. Default: those that the machine trusts.
    pub ca_file: Option<String>,
    /// Our certificate with its chain, PEM, where the server asks for one.
    pub certificate_file: Option<String>,
    /// Its key, PEM.
    pub key_file: Option<String>,
    /// The name in the server's certificate, where it is not the host's.
    pub server_name: Option<String>,
}

/// Checks the listener's table `tls`, its files included.
pub(super) fn listen(
    raw: &RawListenTls,
    path: &str,
    check: &mut Check<'_>,
    secrets: SecretSource<'_>,
) -> Option<TlsListenSettings> {
    let mut check = check.table(path, "tls");
    let check = &mut check;
    let address = match &raw.address {
        None => Some(SocketAddr::from(ADDRESS)),
        Some(written) => check.address("address", written),
    };
    let certificate = required(check, "certificate_file", raw.certificate_file.as_deref());
    let key = required(check, "key_file", raw.key_file.as_deref());
    let client_certificate = match (raw.client_certificate, &raw.client_ca_file) {
        (None | Some(ClientCertificate::None), None) => ClientCertificate::None,
        (None, Some(_)) => ClientCertificate::Required,
        (Some(ClientCertificate::None), Some(_)) => {
            check.fault(
                "client_certificate",
                "\"none\" leaves client_ca_file without use: remove one of them",
            );
            ClientCertificate::None
        }
        (Some(asked), Some(_)) => asked,
        (Some(_), None) => {
            check.fault("client_ca_file", "missing: by whose signature the devices' certificates are known");
            ClientCertificate::None
        }
    };
    if raw.client_crl_file.is_some() && raw.client_ca_file.is_none() {
        check.fault("client_crl_file", "of no use without client_ca_file: set it, or remove the list");
    }
    let handshakes_max = check.number("handshakes_max", raw.handshakes_max, HANDSHAKES_MAX, (1, 100_000));
    let files = ServerFiles {
        certificate: certificate?,
        key: key?,
        client_ca: raw.client_ca_file.as_ref().map(PathBuf::from),
        client_crl: raw.client_crl_file.as_ref().map(PathBuf::from),
    };
    let read = |path: &Path| (secrets.file)(path).map(String::into_bytes);
    if let Err(error) = server_config(&files, client_certificate, &read) {
        let mut keys =
            vec![("certificate_file", files.certificate.as_path()), ("key_file", files.key.as_path())];
        keys.extend(files.client_ca.as_deref().map(|file| ("client_ca_file", file)));
        keys.extend(files.client_crl.as_deref().map(|file| ("client_crl_file", file)));
        report(check, &error, &keys);
        return None;
    }
    Some(TlsListenSettings {
        address: address?,
        files,
        client_certificate,
        identity: raw.identity,
        handshakes_max,
    })
}

/// Checks a client's table `tls`, its files included.
pub(super) fn client(
    raw: &RawClientTls,
    host: &str,
    path: &str,
    check: &mut Check<'_>,
    secrets: SecretSource<'_>,
) -> Option<ClientTls> {
    let mut check = check.table(path, "tls");
    let check = &mut check;
    let certificate = match (&raw.certificate_file, &raw.key_file) {
        (Some(certificate), Some(key)) => Some((PathBuf::from(certificate), PathBuf::from(key))),
        (None, None) => None,
        (Some(_), None) => {
            check.fault("key_file", "missing: the key of certificate_file");
            None
        }
        (None, Some(_)) => {
            check.fault("certificate_file", "missing: the certificate of key_file");
            None
        }
    };
    let named = raw.server_name.as_deref();
    let server_name = named.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    if named.is_some() && server_name.is_none() {
        check.fault("server_name", "neither a DNS name nor an IP address");
    } else if ServerName::try_from(host).is_err() {
        check.fault("server_name", format!("the host {host:?} is no name that a certificate can bear"));
    }
    let tls = ClientTls { ca_file: raw.ca_file.as_ref().map(PathBuf::from), certificate, server_name };
    let read = |path: &Path| (secrets.file)(path).map(String::into_bytes);
    // What the machine trusts is not the configuration's: without a ca_file it is looked for at the connection.
    let checked = if tls.ca_file.is_some() { client_config(&tls, &read).map(drop) } else { own(&tls, &read) };
    if let Err(error) = checked {
        let mut keys = Vec::new();
        keys.extend(tls.ca_file.as_deref().map(|file| ("ca_file", file)));
        if let Some((certificate, key)) = &tls.certificate {
            keys.extend([("certificate_file", certificate.as_path()), ("key_file", key.as_path())]);
        }
        report(check, &error, &keys);
        return None;
    }
    Some(tls)
}

/// Our own certificate and key alone.
fn own(tls: &ClientTls, read: crate::tls::ReadFile<'_>) -> Result<(), TlsError> {
    let Some((certificate, key)) = &tls.certificate else { return Ok(()) };
    let files =
        ServerFiles { certificate: certificate.clone(), key: key.clone(), client_ca: None, client_crl: None };
    server_config(&files, ClientCertificate::None, read).map(drop)
}

fn required(check: &mut Check<'_>, key: &str, written: Option<&str>) -> Option<PathBuf> {
    match written {
        Some(file) if !file.is_empty() => Some(PathBuf::from(file)),
        Some(_) | None => {
            check.fault(key, "missing: a PEM file");
            None
        }
    }
}

fn report(check: &mut Check<'_>, error: &TlsError, keys: &[(&'static str, &Path)]) {
    check.fault(error.setting(keys), crate::reconnect::chain(error));
}
