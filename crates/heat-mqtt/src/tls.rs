//! TLS for both ways: certificates and keys from PEM files into rustls configurations, on the ring provider, TLS 1.2 and
//! 1.3. Nothing is opened here but those files, and they are read by a function that is passed in, so that `check`
//! finds every fault that the start would find.
//!
//! Without a `ca_file`, a client trusts what the machine trusts (rustls-native-certs), not a list compiled in: a city's
//! own authority is installed on its machines once, and a withdrawn authority goes with the system's updates.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject as _},
    },
};

pub use identity::{CertificateIdentity, IdentityError};
pub use server::{ClientCertificate, ServerFiles};
pub(crate) use server::{Handshake, ServerTls, server_config};

mod identity;
mod server;

/// Certificates, keys or authorities that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it could not.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("read {path:?} as PEM: {problem}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file holds no certificate.
    #[error("find a certificate in {path:?}: there is no section BEGIN CERTIFICATE")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no revocation list.
    #[error("find a revocation list in {path:?}: there is no section BEGIN X509 CRL")]
    NoRevocationList {
        /// The file.
        path: PathBuf,
    },
    /// An authority's certificate can't be used.
    #[error("take the authority in {path:?}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why it can't.
        source: RustlsError,
    },
    /// A certificate and a key that do not belong together, or of a kind that is not supported.
    #[error("use the certificate {certificate:?} with the key {key:?}")]
    KeyPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why they can't be used.
        source: RustlsError,
    },
    /// The authorities make no verifier.
    #[error("verify certificates by the authorities in {path:?}")]
    Verifier {
        /// The file.
        path: PathBuf,
        /// Why they can't.
        source: VerifierBuilderError,
    },
    /// The machine trusts no authority.
    #[error(
        "find the authorities that this machine trusts: there are none ({errors}); set ca_file, or install \
         ca-certificates"
    )]
    NoSystemAuthorities {
        /// What went wrong while looking for them.
        errors: String,
    },
    /// The provider supports none of the protocol versions.
    #[error("offer TLS 1.2 and 1.3")]
    Versions {
        /// Why it can't.
        source: RustlsError,
    },
}

impl TlsError {
    /// The setting to look at: the last part of its key.
    pub(crate) fn setting(&self, files: &[(&'static str, &Path)]) -> &'static str {
        let path = match self {
            Self::Read { path, .. }
            | Self::Pem { path, .. }
            | Self::NoCertificate { path }
            | Self::NoRevocationList { path }
            | Self::Authority { path, .. }
            | Self::Verifier { path, .. } => path.as_path(),
            Self::KeyPair { key, .. } => key,
            Self::NoSystemAuthorities { .. } | Self::Versions { .. } => return "ca_file",
        };
        files.iter().find(|(_, file)| *file == path).map_or("certificate_file", |(key, _)| key)
    }
}

/// Reads a file as a whole.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// A client's TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// Authorities that the server's certificate is verified by; without it those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate with its chain, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must bear, where it is not the host's.
    pub server_name: Option<ServerName<'static>>,
}

/// A client's configuration, from its files as they are now.
pub(crate) fn client_config(tls: &ClientTls, read: ReadFile<'_>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = Arc::new(match &tls.ca_file {
        Some(path) => authorities(path, read)?,
        None => system_authorities()?,
    });
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Versions { source })?;
    let builder = match &tls.server_name {
        None => builder.with_root_certificates(roots),
        Some(name) => {
            let path = tls.ca_file.clone().unwrap_or_default();
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|source| TlsError::Verifier { path, source })?;
            let named = NamedServer { verifier, name: name.clone() };
            // Nothing is loosened: the whole verification takes place, by another name than the one connected to.
            builder.dangerous().with_custom_certificate_verifier(Arc::new(named))
        }
    };
    let config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate, read)?, private_key(key, read)?)
            .map_err(|source| key_pair_fault(certificate, key, source))?,
    };
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn key_pair_fault(certificate: &Path, key: &Path, source: RustlsError) -> TlsError {
    TlsError::KeyPair { certificate: certificate.to_owned(), key: key.to_owned(), source }
}

fn read_file(path: &Path, read: ReadFile<'_>) -> Result<Vec<u8>, TlsError> {
    read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn pem_fault(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Pem { path: path.to_owned(), problem: error.to_string() }
}

fn certificates(path: &Path, read: ReadFile<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read_file(path, read)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| pem_fault(path, &error))?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

fn revocation_lists(
    path: &Path,
    read: ReadFile<'_>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let text = read_file(path, read)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| pem_fault(path, &error))?;
    if found.is_empty() { Err(TlsError::NoRevocationList { path: path.to_owned() }) } else { Ok(found) }
}

fn private_key(path: &Path, read: ReadFile<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read_file(path, read)?).map_err(|error| pem_fault(path, &error))
}

fn authorities(path: &Path, read: ReadFile<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, read)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// What the machine trusts. Single certificates that can't be read are passed over, as every other program does.
fn system_authorities() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoSystemAuthorities { errors: errors.join("; ") });
    }
    Ok(roots)
}

/// Verifies a server by a name of its own instead of the one that was connected to.
#[derive(Debug)]
struct NamedServer {
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _connected_to: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
