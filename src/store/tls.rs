//! TLS to a PostgreSQL by URL.
//!
//! Whenever TLS is used, the server's certificate and name are verified, against the machine's authorities and those
//! of `database.tls_root_certificate`: `sslmode=require` here is what libpq calls `verify-full`. `prefer` goes on in the
//! clear only where the server offers no TLS at all.

use super::sql::SYSTEM;
use crate::domain::fault::Fault;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Makes TLS connections; reads the certificates to trust.
pub fn connector(extra_roots: Option<&Path>) -> Result<MakeRustlsConnect, Fault> {
    let mut roots = RootCertStore::empty();
    // A machine without authorities is not a fault: the extra ones may be all that is needed.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra_roots {
        add_file(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Fault> {
    let unusable = |why: String| {
        Fault::give_up(SYSTEM, format!("database.tls_root_certificate {} cannot be used: {why}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    let mut found = false;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(unusable("there is no certificate in it".to_string())) }
}

#[cfg(test)]
mod tests;
