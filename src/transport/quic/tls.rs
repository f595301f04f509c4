//! The key of an endpoint and the pinning of its peers' keys. No name, no chain, no date is looked at: the
//! fingerprint that came by signalling is the whole of trust, and the handshake proves possession of the key.

use std::{
    any::Any,
    collections::HashMap,
    fmt, io,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{ALPN, Fingerprint};

/// A self-signed key, made when the endpoint is bound and never written down.
pub(super) struct Identity {
    certificate: CertificateDer<'static>,
    key_der: Vec<u8>,
    provider: Arc<CryptoProvider>,
    fingerprint: Fingerprint,
}

impl Identity {
    pub(super) fn generate() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(Vec::new()).map_err(io::Error::other)?;
        let certificate = made.cert.der().clone();
        let fingerprint = Fingerprint::of(&certificate).map_err(io::Error::other)?;
        let provider = Arc::new(ring::default_provider());
        Ok(Identity {
            certificate,
            key_der: made.signing_key.serialize_der(),
            provider,
            fingerprint,
        })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Accepts, from whoever dials, the keys expected at that moment.
    pub(super) fn server(&self, expected: &Expected) -> Result<ServerConfig, Error> {
        let verifier = PinnedClients {
            expected: expected.clone(),
            algorithms: self.provider.signature_verification_algorithms,
        };
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(vec![self.certificate.clone()], self.key())?;
        config.alpn_protocols = vec![ALPN.into()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// Accepts one key; what was found instead is left in the verifier.
    pub(super) fn client(&self, expected: Fingerprint) -> Result<(ClientConfig, Pin), Error> {
        let pin = Pin(Arc::new(PinnedServer {
            expected,
            found: Mutex::new(None),
            algorithms: self.provider.signature_verification_algorithms,
        }));
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pin.0.clone())
            .with_client_auth_cert(vec![self.certificate.clone()], self.key())?;
        config.alpn_protocols = vec![ALPN.into()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        Ok((config, pin))
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.fingerprint).finish()
    }
}

/// Whose certificate a handshake has shown, of what quinn-proto says of the peer's identity.
pub(super) fn peer_fingerprint(identity: Box<dyn Any>) -> Option<Fingerprint> {
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    Fingerprint::of(chain.first()?).ok()
}

/// The keys that may dial us now, each with the number of those who expect it.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected(Arc<Mutex<HashMap<Fingerprint, usize>>>);

impl Expected {
    pub(super) fn add(&self, fingerprint: Fingerprint) -> Expectation {
        *self.0.lock().entry(fingerprint).or_default() += 1;
        Expectation { fingerprint, table: Arc::downgrade(&self.0) }
    }

    pub(super) fn remove(&self, fingerprint: Fingerprint) {
        self.0.lock().remove(&fingerprint);
    }

    pub(super) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.0.lock().contains_key(&fingerprint)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// A key may dial us as long as this lives. Dropping it leaves connections that exist alone.
#[derive(Debug)]
#[must_use = "dropping it ends the expectation"]
pub struct Expectation {
    fingerprint: Fingerprint,
    table: Weak<Mutex<HashMap<Fingerprint, usize>>>,
}

impl Expectation {
    /// The key expected.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        let Some(table) = self.table.upgrade() else { return };
        let mut table = table.lock();
        if let Some(count) = table.get_mut(&self.fingerprint) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.fingerprint);
            }
        }
    }
}

/// What a dial pinned, and what it met.
#[derive(Clone, Debug)]
pub(super) struct Pin(Arc<PinnedServer>);

impl Pin {
    /// The key that was shown instead of the expected one, if one was.
    pub(super) fn mismatch(&self) -> Option<Fingerprint> {
        *self.0.found.lock()
    }
}

#[derive(Debug)]
struct PinnedServer {
    expected: Fingerprint,
    found: Mutex<Option<Fingerprint>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = fingerprint_of(end_entity)?;
        if found != self.expected {
            *self.found.lock() = Some(found);
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct PinnedClients {
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for PinnedClients {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.expected.contains(fingerprint_of(end_entity)?) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn fingerprint_of(certificate: &CertificateDer<'_>) -> Result<Fingerprint, Error> {
    Fingerprint::of(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

/// Goal: a certificate alone opens nothing; the handshake must be signed with its key.
/// Method: TLS in memory; the thief shows the certificate of another and signs with its own key.
#[cfg(test)]
mod tests {
    use rustls::{
        ClientConnection, ServerConnection,
        client::ResolvesClientCert,
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    };

    use super::*;

    #[derive(Debug)]
    struct Stolen(Arc<CertifiedKey>);

    impl Stolen {
        fn from(victim: &Identity, thief: &Identity) -> Arc<Self> {
            let key = thief.provider.key_provider.load_private_key(thief.key()).unwrap();
            Arc::new(Stolen(Arc::new(CertifiedKey::new(vec![victim.certificate.clone()], key))))
        }
    }

    impl ResolvesServerCert for Stolen {
        fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }

    impl ResolvesClientCert for Stolen {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    #[derive(Debug)]
    struct Nobody;

    impl ResolvesClientCert for Nobody {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            None
        }

        fn has_certs(&self) -> bool {
            false
        }
    }

    /// What the client and the server say to the handshake.
    fn handshake(client: ClientConfig, server: ServerConfig) -> [Result<(), Error>; 2] {
        let name = ServerName::try_from("hyperty").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        for _ in 0..4 {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            server.read_tls(&mut flight.as_slice()).unwrap();
            if let Err(error) = server.process_new_packets() {
                return [Ok(()), Err(error)];
            }
            flight.clear();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            client.read_tls(&mut flight.as_slice()).unwrap();
            if let Err(error) = client.process_new_packets() {
                return [Err(error), Ok(())];
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        [Ok(()), Ok(())]
    }

    #[test]
    fn a_certificate_without_its_key_opens_nothing() {
        let [alice, bob, thief] = [(); 3].map(|()| Identity::generate().unwrap());
        let expected = Expected::default();
        let _alice = expected.add(alice.fingerprint());
        let client = || alice.client(bob.fingerprint()).unwrap().0;
        let server = || bob.server(&expected).unwrap();
        assert_eq!(handshake(client(), server()), [Ok(()), Ok(())]);

        let bad = Error::InvalidCertificate(CertificateError::BadSignature);
        let mut stolen = server();
        stolen.cert_resolver = Stolen::from(&bob, &thief);
        assert_eq!(handshake(client(), stolen), [Err(bad.clone()), Ok(())]);
        let mut stolen = client();
        stolen.client_auth_cert_resolver = Stolen::from(&alice, &thief);
        assert_eq!(handshake(stolen, server()), [Ok(()), Err(bad)]);
    }

    #[test]
    fn no_certificate_opens_nothing() {
        let [alice, bob] = [(); 2].map(|()| Identity::generate().unwrap());
        let expected = Expected::default();
        let _alice = expected.add(alice.fingerprint());
        let mut client = alice.client(bob.fingerprint()).unwrap().0;
        client.client_auth_cert_resolver = Arc::new(Nobody);
        let server = bob.server(&expected).unwrap();
        assert_eq!(handshake(client, server), [Ok(()), Err(Error::NoCertificatesPresented)]);
    }

    #[test]
    fn another_protocol_is_refused() {
        let [alice, bob] = [(); 2].map(|()| Identity::generate().unwrap());
        let expected = Expected::default();
        let _alice = expected.add(alice.fingerprint());
        let mut client = alice.client(bob.fingerprint()).unwrap().0;
        client.alpn_protocols = vec!["h3".into()];
        let server = bob.server(&expected).unwrap();
        assert_eq!(handshake(client, server), [Ok(()), Err(Error::NoApplicationProtocol)]);
    }

    #[test]
    fn nothing_is_sent_before_the_handshake_nor_kept_after_it() {
        let [alice, bob] = [(); 2].map(|()| Identity::generate().unwrap());
        let server = bob.server(&Expected::default()).unwrap();
        assert_eq!((server.max_early_data_size, server.send_tls13_tickets), (0, 0));
        let client = alice.client(bob.fingerprint()).unwrap().0;
        assert!(!client.enable_early_data && !client.enable_sni);
        assert_eq!(client.alpn_protocols, [ALPN.as_bytes()]);
    }
}
