//! TLS of the API: certificate and key from PEM files, read again when they change.

use std::{io, path::PathBuf, sync::Arc};

use heat_runtime::tasks::Chain;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error as RustlsError, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
};

/// The files, PEM each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by its chain.
    pub certificate: PathBuf,
    /// Its key, without a password.
    pub key: PathBuf,
}

/// TLS cannot be served with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} holds no usable {wanted} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// Certificate and key cannot be used together.
    #[error("the certificate {certificate} cannot be used with its key")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        source: RustlsError,
    },
}

/// What accepts TLS connections.
pub(crate) struct ServerTls {
    files: TlsFiles,
    read: (Vec<u8>, Vec<u8>),
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ServerTls {
    pub(crate) async fn open(files: TlsFiles) -> Result<Self, TlsFault> {
        let read = read(&files).await?;
        let acceptor = acceptor(&files, &read)?;
        Ok(Self { files, read, acceptor })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Takes the files if they changed; faulty ones leave what is in use.
    pub(crate) async fn refresh(&mut self) {
        let read = match read(&self.files).await {
            Ok(read) if read != self.read => read,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the API's certificate cannot be read; the one before stays");
                return;
            }
        };
        match acceptor(&self.files, &read) {
            Ok(acceptor) => {
                tracing::info!("the API's certificate was replaced");
                (self.acceptor, self.read) = (acceptor, read);
            }
            // Certificate and key are two files: between their writes they do not fit, and the next look tries again.
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the API's certificate cannot be used; the one before stays");
            }
        }
    }
}

async fn read(files: &TlsFiles) -> Result<(Vec<u8>, Vec<u8>), TlsFault> {
    let file = async |path: &PathBuf| {
        tokio::fs::read(path).await.map_err(|source| TlsFault::Read { path: path.clone(), source })
    };
    Ok((file(&files.certificate).await?, file(&files.key).await?))
}

fn acceptor(files: &TlsFiles, (certificate, key): &(Vec<u8>, Vec<u8>)) -> Result<TlsAcceptor, TlsFault> {
    let fault = |path: &PathBuf, wanted| {
        let path = path.clone();
        move |source| TlsFault::Pem { path, wanted, source }
    };
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(fault(&files.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(fault(&files.key, "private key"))?;
    let pair = |source| TlsFault::Pair { certificate: files.certificate.clone(), source };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    Ok(Arc::new(config).into())
}
