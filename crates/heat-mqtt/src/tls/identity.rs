//! Who a client's certificate says it is.
//!
//! The chain is verified by rustls before anybody asks; here one name is read out of the certificate. Names that occur
//! twice are refused rather than chosen from: which one counts would be a matter of order.
//!
//! The subject is a sequence of sets of (type, value) pairs in DER (X.501); the common name's type is the object
//! identifier 2.5.4.3, and its value a string of one of five kinds, of which UTF8String, PrintableString and IA5String
//! are UTF-8 as they are.

use serde::Deserialize;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Which name of a client's certificate is its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateIdentity {
    /// The subject's common name.
    #[default]
    CommonName,
    /// The DNS name among the subject's alternative names.
    Dns,
    /// The URI among the subject's alternative names.
    Uri,
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It can't be read.
    #[error("read the client's certificate: it is malformed")]
    Malformed,
    /// It has no name of the kind.
    #[error("name the client by its certificate: it has no name of the kind that `identity` asks for")]
    None,
    /// It has several names of the kind.
    #[error("name the client by its certificate: it has several names of the kind that `identity` asks for")]
    Several,
    /// The name is a pattern, is empty, or is longer than a user name may be.
    #[error("name the client by its certificate: the name is empty, too long, or no name")]
    Unusable,
}

const NAME_MAX_BYTES: usize = 512;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

impl CertificateIdentity {
    /// The certificate's name.
    pub(crate) fn of(self, certificate: &CertificateDer<'_>) -> Result<String, IdentityError> {
        let parsed =
            webpki::EndEntityCert::try_from(certificate).map_err(|_error| IdentityError::Malformed)?;
        let name = match self {
            Self::CommonName => only(common_names(parsed.subject())?)?,
            Self::Dns => only(parsed.valid_dns_names().collect())?,
            Self::Uri => only(parsed.valid_uri_names().collect())?,
        };
        let is_name = !name.is_empty()
            && name.len() <= NAME_MAX_BYTES
            && !name.contains('*')
            && !name.chars().any(char::is_control);
        if is_name { Ok(name.to_owned()) } else { Err(IdentityError::Unusable) }
    }
}

fn only(names: Vec<&str>) -> Result<&str, IdentityError> {
    match names.as_slice() {
        [] => Err(IdentityError::None),
        [name] => Ok(name),
        [_, _, ..] => Err(IdentityError::Several),
    }
}

/// The common names of a subject without its outer header.
fn common_names(mut subject: &[u8]) -> Result<Vec<&str>, IdentityError> {
    let mut names = Vec::new();
    while !subject.is_empty() {
        let mut set = element(&mut subject, SET)?;
        while !set.is_empty() {
            let mut pair = element(&mut set, SEQUENCE)?;
            if element(&mut pair, OBJECT_IDENTIFIER)? != COMMON_NAME {
                continue;
            }
            let (&kind, _) = pair.split_first().ok_or(IdentityError::Malformed)?;
            if !matches!(kind, UTF8_STRING | PRINTABLE_STRING | IA5_STRING) {
                return Err(IdentityError::Unusable);
            }
            let value = element(&mut pair, kind)?;
            names.push(std::str::from_utf8(value).map_err(|_not_utf8| IdentityError::Unusable)?);
        }
    }
    Ok(names)
}

/// Takes an element of the kind off the front; returns its content.
fn element<'a>(bytes: &mut &'a [u8], kind: u8) -> Result<&'a [u8], IdentityError> {
    const MALFORMED: IdentityError = IdentityError::Malformed;
    let (&found, rest) = bytes.split_first().ok_or(MALFORMED)?;
    let (&first, mut rest) = rest.split_first().ok_or(MALFORMED)?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        // The length's own length, of which two bytes are more than any subject needs.
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|_| (1..=2).contains(&count)).ok_or(MALFORMED)?;
        length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
        rest = &rest[count..];
    }
    let content = rest.get(..length).filter(|_| found == kind).ok_or(MALFORMED)?;
    *bytes = &rest[length..];
    Ok(content)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_named_by_its_common_name_its_dns_name_or_its_uri() {
        let certificate = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "city heating");
            params.distinguished_name.push(DnType::CommonName, "换热站 12");
            params.subject_alt_names = vec![
                SanType::DnsName("station-12.example".try_into().unwrap()),
                SanType::URI("urn:heat:station:12".try_into().unwrap()),
            ];
        });

        assert_eq!(CertificateIdentity::CommonName.of(&certificate).as_deref(), Ok("换热站 12"));
        assert_eq!(CertificateIdentity::Dns.of(&certificate).as_deref(), Ok("station-12.example"));
        assert_eq!(CertificateIdentity::Uri.of(&certificate).as_deref(), Ok("urn:heat:station:12"));
    }

    #[test]
    fn a_certificate_without_the_name_or_with_two_of_them_names_nobody() {
        let nameless = certificate(|_| {});
        let twice = certificate(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName("a.example".try_into().unwrap()),
                SanType::DnsName("b.example".try_into().unwrap()),
            ];
        });
        let pattern = certificate(|params| {
            params.subject_alt_names = vec![SanType::DnsName("*.stations.example".try_into().unwrap())];
        });

        assert_eq!(CertificateIdentity::CommonName.of(&nameless), Err(IdentityError::None));
        assert_eq!(CertificateIdentity::Uri.of(&nameless), Err(IdentityError::None));
        assert_eq!(CertificateIdentity::Dns.of(&twice), Err(IdentityError::Several));
        assert_eq!(CertificateIdentity::Dns.of(&pattern), Err(IdentityError::Unusable));
    }

    proptest::proptest! {
        #[test]
        fn no_subject_makes_it_panic(subject: Vec<u8>) {
            if let Ok(names) = common_names(&subject) {
                proptest::prop_assert!(names.iter().map(|name| name.len()).sum::<usize>() <= subject.len());
            }
        }
    }
}
