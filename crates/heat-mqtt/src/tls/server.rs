//! The listener's side of TLS: handshakes, and certificates that are replaced while connections stay.
//!
//! Sessions are not resumed: every connection proves its certificate anew, nothing is kept per client, and devices
//! connect rarely.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use serde::Deserialize;
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error as RustlsError, ServerConfig,
        server::{NoServerSessionStorage, WebPkiClientVerifier},
    },
    server::TlsStream,
};

use super::{
    CertificateIdentity, IdentityError, ReadFile, TlsError, authorities, certificates, key_pair_fault,
    private_key, provider, revocation_lists,
};
use crate::settings::TlsListenSettings;

/// Whether devices must prove who they are by a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// No connection without one.
    Required,
    /// Whoever has one need not have a password.
    Optional,
    /// Nobody is asked for one.
    #[default]
    None,
}

/// The files of a TLS server, PEM each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The server's certificate, followed by its chain.
    pub certificate: PathBuf,
    /// Its key: PKCS #8, PKCS #1 or SEC 1, without a password.
    pub key: PathBuf,
    /// Authorities of the devices' certificates.
    pub client_ca: Option<PathBuf>,
    /// Which of those certificates have been revoked.
    pub client_crl: Option<PathBuf>,
}

impl ServerFiles {
    fn all(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref(), self.client_crl.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}

/// A server's configuration, from its files as they are now.
pub(crate) fn server_config(
    files: &ServerFiles,
    client_certificate: ClientCertificate,
    read: ReadFile<'_>,
) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Versions { source })?;
    let builder = match (&files.client_ca, client_certificate) {
        (None, _) | (_, ClientCertificate::None) => builder.with_no_client_auth(),
        (Some(path), asked) => {
            let roots = Arc::new(authorities(path, read)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match asked {
                ClientCertificate::Optional => verifier.allow_unauthenticated(),
                ClientCertificate::Required | ClientCertificate::None => verifier,
            };
            let verifier = match &files.client_crl {
                None => verifier,
                // A list that is out of date, or one authority's of several, cuts no device off but those it names.
                Some(path) => verifier
                    .with_crls(revocation_lists(path, read)?)
                    .only_check_end_entity_revocation()
                    .allow_unknown_revocation_status(),
            };
            let verifier =
                verifier.build().map_err(|source| TlsError::Verifier { path: path.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(certificates(&files.certificate, read)?, private_key(&files.key, read)?)
        .map_err(|source| key_pair_fault(&files.certificate, &files.key, source))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Handshake {
    #[error("TLS handshake: the peer closed the connection")]
    Closed(#[source] io::Error),
    #[error("TLS handshake")]
    Failed(#[source] RustlsError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<io::Error> for Handshake {
    fn from(error: io::Error) -> Self {
        match error.downcast::<RustlsError>() {
            Ok(error) => Self::Failed(error),
            Err(error) => Self::Closed(error),
        }
    }
}

/// What a file looked like when it was read: enough to see that it was written or replaced.
type Stamp = Option<(SystemTime, u64, u64)>;

/// What serves TLS connections of one address.
pub(crate) struct ServerTls {
    files: ServerFiles,
    client_certificate: ClientCertificate,
    identity: CertificateIdentity,
    current: RwLock<TlsAcceptor>,
    /// The files as last read, whether they could be used or not.
    stamps: Mutex<Vec<Stamp>>,
    handshakes: Semaphore,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads the files.
    pub(crate) fn open(settings: &TlsListenSettings) -> Result<Self, TlsError> {
        let (files, client_certificate) = (settings.files.clone(), settings.client_certificate);
        let stamps = stamps(&files);
        let config = server_config(&files, client_certificate, &|path| fs::read(path))?;
        Ok(Self {
            files,
            client_certificate,
            identity: settings.identity,
            current: RwLock::new(TlsAcceptor::from(Arc::new(config))),
            stamps: Mutex::new(stamps),
            handshakes: Semaphore::new(settings.handshakes_max),
        })
    }

    /// Reads the files anew; connections from now on see them, those that are open stay as they are. Where a file can't
    /// be used, everything stays as it is.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        // Stamped before reading: a file that is replaced meanwhile is read again next time.
        *known = stamps(&self.files);
        let config = server_config(&self.files, self.client_certificate, &|path| fs::read(path))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = TlsAcceptor::from(Arc::new(config));
        Ok(())
    }

    /// Reads the files anew if one of them has changed since they were last read.
    pub(crate) fn reload_if_changed(&self) -> Option<Result<(), TlsError>> {
        let is_changed = *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) != stamps(&self.files);
        is_changed.then(|| self.reload())
    }

    /// Makes a TLS connection of a TCP connection, and tells whose certificate it showed. Peers that say nothing take no
    /// place among the handshakes that go on at once.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<String>), Handshake> {
        stream.readable().await?;
        let Ok(_place) = self.handshakes.acquire().await else {
            unreachable!("the semaphore is never closed");
        };
        let acceptor = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = acceptor.accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let name = certificate.map(|certificate| self.identity.of(certificate)).transpose()?;
        Ok((stream, name))
    }
}

fn stamps(files: &ServerFiles) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    files.all().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::{Authority, Pair};

    fn settings(folder: &Path) -> TlsListenSettings {
        TlsListenSettings {
            address: ([127, 0, 0, 1], 0).into(),
            files: ServerFiles {
                certificate: folder.join("server.pem"),
                key: folder.join("server.key"),
                client_ca: None,
                client_crl: None,
            },
            client_certificate: ClientCertificate::None,
            identity: CertificateIdentity::CommonName,
            handshakes_max: 1,
        }
    }

    fn write(folder: &Path, pair: &Pair) {
        // As tools do that replace files: no reader sees half of one.
        for (name, text) in [("server.pem", &pair.certificate), ("server.key", &pair.key)] {
            fs::write(folder.join("new"), text).unwrap();
            fs::rename(folder.join("new"), folder.join(name)).unwrap();
        }
    }

    #[test]
    fn files_are_read_again_when_they_have_changed_and_tried_once_when_they_do_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority");
        write(folder.path(), &authority.issue("gateway", &["a.example"]));
        let tls = ServerTls::open(&settings(folder.path())).unwrap();
        assert!(tls.reload_if_changed().is_none(), "nothing has changed");

        let next = authority.issue("gateway", &["a.example"]);
        let mixed = Pair { key: authority.issue("gateway", &[]).key, ..next.clone() };
        write(folder.path(), &mixed);
        assert!(matches!(tls.reload_if_changed(), Some(Err(TlsError::KeyPair { .. }))));
        assert!(tls.reload_if_changed().is_none(), "the same files fail in the same way");

        write(folder.path(), &next);
        assert!(matches!(tls.reload_if_changed(), Some(Ok(()))));
    }

    #[test]
    fn a_new_revocation_list_is_taken_like_a_new_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority");
        let device = authority.issue("station-1", &[]);
        write(folder.path(), &authority.issue("gateway", &["a.example"]));
        let path = |name: &str| folder.path().join(name);
        fs::write(path("ca.pem"), authority.pem()).unwrap();
        fs::write(path("lists.pem"), authority.revoke(&[])).unwrap();
        let mut settings = settings(folder.path());
        settings.client_certificate = ClientCertificate::Required;
        settings.files.client_ca = Some(path("ca.pem"));
        settings.files.client_crl = Some(path("lists.pem"));
        let tls = ServerTls::open(&settings).unwrap();

        fs::write(path("lists.pem"), authority.revoke(&[&device])).unwrap();

        assert!(matches!(tls.reload_if_changed(), Some(Ok(()))));
        fs::write(path("lists.pem"), "no list").unwrap();
        assert!(matches!(tls.reload_if_changed(), Some(Err(TlsError::NoRevocationList { .. }))));
    }

    #[test]
    fn what_cannot_be_used_is_named_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &Authority::new("authority").issue("gateway", &["a.example"]));
        fs::write(folder.path().join("server.pem"), "no certificate").unwrap();

        let error = ServerTls::open(&settings(folder.path())).unwrap_err();

        assert!(matches!(error, TlsError::NoCertificate { path } if path.ends_with("server.pem")));
    }
}
