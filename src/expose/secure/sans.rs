//! The subject alternative names of a certificate (RFC 5280, 4.2.1.6).
//!
//! Only certificates that were verified come here; what is not as it should be has no names.

/// One name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum San<'a> {
    /// A DNS name, an e-mail address or a URI.
    Text(&'a [u8]),
    Ip(&'a [u8]),
}

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
/// `extensions [3] EXPLICIT` of a TBSCertificate.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// Of a GeneralName.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// The names of a certificate in DER; `None` if it is no certificate.
pub(super) fn sans(der: &[u8]) -> Option<Vec<San<'_>>> {
    let certificate = Der(der).expect(SEQUENCE)?;
    let mut tbs = Der(Der(certificate).expect(SEQUENCE)?);
    let mut extensions = loop {
        match tbs.next() {
            Some((EXTENSIONS, inside)) => break Der(Der(inside).expect(SEQUENCE)?),
            Some(_) => {}
            None => return Some(Vec::new()),
        }
    };
    while let Some((SEQUENCE, extension)) = extensions.next() {
        let mut parts = Der(extension);
        let (OID, oid) = parts.next()? else {
            return None;
        };
        if oid != SUBJECT_ALT_NAME {
            continue;
        }
        let value = match parts.next()? {
            (BOOLEAN, _) => parts.expect(OCTETS)?,
            (OCTETS, value) => value,
            _ => return None,
        };
        let names = Der(Der(value).expect(SEQUENCE)?);
        let mut found = Vec::new();
        for (tag, name) in names {
            match tag {
                EMAIL | DNS | URI => found.push(San::Text(name)),
                IP => found.push(San::Ip(name)),
                _ => {}
            }
        }
        return Some(found);
    }
    Some(Vec::new())
}

/// Elements in DER, one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(t, _)| *t == tag).map(|(_, v)| v)
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let bytes = rest.get(..usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            rest = &rest[bytes.len()..];
            bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
        };
        let value = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((tag, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sorts_of_names_are_found() {
        let mut params =
            rcgen::CertificateParams::new(["agent.example".to_owned(), "10.1.2.3".to_owned()])
                .unwrap();
        params.subject_alt_names.extend([
            rcgen::SanType::URI("spiffe://x/agent".try_into().unwrap()),
            rcgen::SanType::Rfc822Name("me@example".try_into().unwrap()),
        ]);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let der = certificate.der();
        assert_eq!(
            sans(der).unwrap(),
            [
                San::Text(b"agent.example"),
                San::Ip(&[10, 1, 2, 3]),
                San::Text(b"spiffe://x/agent"),
                San::Text(b"me@example"),
            ]
        );
        for cut in 0..der.len() {
            let _ = sans(&der[..cut]);
        }
        let bare = rcgen::CertificateParams::default();
        let bare = bare.self_signed(&key).unwrap();
        assert_eq!(sans(bare.der()).unwrap(), []);
    }
}
