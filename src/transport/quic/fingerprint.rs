//! The SHA-256 of a public key, as signalling carries it. Not of a certificate: that may be renewed for the
//! same key.

use std::{fmt, str::FromStr};

use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;

const ALGORITHM: &str = "sha-256";
const BYTES: usize = 32;

/// SHA-256 over a certificate's SubjectPublicKeyInfo, written `sha-256 AB:CD:…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; BYTES]);

impl Fingerprint {
    /// A fingerprint from its bytes.
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Fingerprint(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// The fingerprint of the key in `certificate`.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, webpki::Error> {
        let certificate = webpki::EndEntityCert::try_from(certificate)?;
        let key = certificate.subject_public_key_info();
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(digest(&SHA256, &key).as_ref());
        Ok(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM} ")?;
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Reads `sha-256 AB:CD:…`, in any case.
impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, digits) = text.split_once(' ').ok_or(ParseFingerprintError::NoAlgorithm)?;
        if !algorithm.eq_ignore_ascii_case(ALGORITHM) {
            return Err(ParseFingerprintError::UnknownAlgorithm);
        }
        let found = digits.split(':').count();
        if found != BYTES {
            return Err(ParseFingerprintError::WrongLength { found });
        }
        let mut bytes = [0; BYTES];
        for (place, pair) in digits.split(':').enumerate() {
            let is_hex = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            bytes[place] = match u8::from_str_radix(pair, 16) {
                Ok(byte) if is_hex => byte,
                _ => return Err(ParseFingerprintError::NotHexadecimal { place }),
            };
        }
        Ok(Fingerprint(bytes))
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseFingerprintError {
    /// No space between algorithm and digits.
    NoAlgorithm,
    /// Another algorithm than `sha-256`.
    UnknownAlgorithm,
    /// Not 32 bytes.
    WrongLength {
        /// Parts found between colons.
        found: usize,
    },
    /// A part that isn't two hexadecimal digits.
    NotHexadecimal {
        /// Which part, from 0.
        place: usize,
    },
}

impl fmt::Display for ParseFingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseFingerprintError::NoAlgorithm => {
                f.write_str("fingerprint without `sha-256 ` in front")
            }
            ParseFingerprintError::UnknownAlgorithm => {
                f.write_str("fingerprint of another algorithm than sha-256")
            }
            ParseFingerprintError::WrongLength { found } => {
                write!(f, "fingerprint of {found} parts between colons, sha-256 has {BYTES}")
            }
            ParseFingerprintError::NotHexadecimal { place } => {
                write!(f, "fingerprint part {place} is not two hexadecimal digits")
            }
        }
    }
}

impl std::error::Error for ParseFingerprintError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_any_case() {
        let fingerprint = Fingerprint::from_bytes(std::array::from_fn(|place| place as u8 * 7));
        let text = fingerprint.to_string();
        assert!(text.starts_with("sha-256 00:07:0E:15:"), "{text}");
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.to_lowercase().parse(), Ok(fingerprint));
        assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = Fingerprint::from_bytes([0xAB; 32]).to_string();
        let parse = |text: &str| text.parse::<Fingerprint>();
        assert_eq!(parse(""), Err(ParseFingerprintError::NoAlgorithm));
        assert_eq!(parse("sha-1 AB"), Err(ParseFingerprintError::UnknownAlgorithm));
        assert_eq!(parse("sha-256 AB"), Err(ParseFingerprintError::WrongLength { found: 1 }));
        let signed = good.replacen("AB", "+B", 1);
        assert_eq!(parse(&signed), Err(ParseFingerprintError::NotHexadecimal { place: 0 }));
        let long = format!("{good}C");
        assert_eq!(parse(&long), Err(ParseFingerprintError::NotHexadecimal { place: 31 }));
    }
}
