//! TLS of one QUIC connection.

use std::any::Any;
use std::mem::take;
use std::sync::Arc;

use boring::error::ErrorStack;
use boring::ssl::Ssl;
use boring::x509::X509VerifyError;
use quinn_proto::crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rand::RngExt as _;

use super::acks::Asking;
use super::ffi::{self, Level, with_flight};
use super::initial::{Opening, Sealing, Shape};
use super::keys::{Secret, is_retry, keys};
use crate::QuicProfile;

/// `internal_error` (RFC 8446 §6.2): for what BoringSSL has no alert for.
const INTERNAL_ERROR: u8 = 80;

pub(super) struct Session {
    ssl: Ssl,
    profile: Arc<QuicProfile>,
    shape: Arc<Shape>,
    /// What is written has the keys of this.
    level: Level,
    /// Of packets after the next key update: the server's and ours.
    next: Option<(Secret, Secret)>,
    /// Whether quinn was told what the handshake chose.
    told: bool,
}

impl Session {
    /// Begins a handshake; the connection was set for it.
    pub(super) fn start(mut ssl: Ssl, profile: Arc<QuicProfile>) -> Result<Self, ErrorStack> {
        ffi::advance(&mut ssl)?;
        Ok(Self { ssl, profile, shape: Arc::default(), level: Level::Initial, next: None, told: false })
    }

    fn failed(&self, error: &ErrorStack) -> TransportError {
        let reason = match self.ssl.verify_result() {
            Ok(()) | Err(X509VerifyError::INVALID_CALL) => error.to_string(),
            Err(reason) => format!("the server's certificate isn't good: {reason}"),
        };
        let alert = with_flight(&self.ssl, |flight| flight.alert).flatten();
        TransportError {
            code: TransportErrorCode::crypto(alert.unwrap_or(INTERNAL_ERROR)),
            frame: None,
            reason,
        }
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, destination: &ConnectionId, side: Side) -> Keys {
        let (client, server) = Secret::initial(destination);
        let (local, remote) = if side.is_client() { (client, server) } else { (server, client) };
        let sealing = Sealing { key: local.packet_key(), shape: self.shape.clone() };
        keys(&local, &remote, Box::new(sealing), Box::new(Opening(remote.packet_key())))
    }

    /// The application protocol, `Vec<u8>`.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.ssl.selected_alpn_protocol().map(|protocol| -> Box<dyn Any> { Box::new(protocol.to_vec()) })
    }

    /// The server's certificates in DER, its own first: `Vec<Vec<u8>>`.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let chain = self.ssl.peer_cert_chain()?;
        let certificates: Result<Vec<_>, _> = chain.iter().map(|certificate| certificate.to_der()).collect();
        certificates.ok().map(|certificates| -> Box<dyn Any> { Box::new(certificates) })
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        Some(false)
    }

    fn is_handshaking(&self) -> bool {
        ffi::is_handshaking(&self.ssl)
    }

    fn read_handshake(&mut self, messages: &[u8]) -> Result<bool, TransportError> {
        let read = ffi::provide(&mut self.ssl, messages).and_then(|()| ffi::advance(&mut self.ssl));
        read.map_err(|error| self.failed(&error))?;
        let tells = !self.told && self.ssl.selected_alpn_protocol().is_some();
        self.told |= tells;
        Ok(tells)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        ffi::peer_parameters(&self.ssl)
            .map(|mut parameters| TransportParameters::read(Side::Client, &mut parameters))
            .transpose()
            .map_err(TransportError::from)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let level = self.level as usize;
        let (messages, secrets) = with_flight(&self.ssl, |flight| {
            let secrets = match flight.secrets.get_mut(level + 1) {
                Some((Some(_), Some(_))) => take(&mut flight.secrets[level + 1]),
                _ => (None, None),
            };
            (take(&mut flight.messages[level]), secrets)
        })?;
        if self.level == Level::Initial && !messages.is_empty() {
            let (from, to) = self.profile.first_piece;
            let beginning = rand::rng().random_range(from..=to).into();
            buf.extend(self.shape.arrange(messages, self.profile.initial_datagram, beginning));
        } else {
            buf.extend(messages);
        }
        let (Some(remote), Some(local)) = secrets else { return None };
        let remote_packets: Box<dyn PacketKey> = match self.level {
            Level::Initial => {
                self.level = Level::Handshake;
                Box::new(remote.packet_key())
            }
            Level::Handshake | Level::Application => {
                self.level = Level::Application;
                self.next = Some((remote.next(), local.next()));
                Box::new(Asking::new(remote.packet_key(), self.profile.ack_eliciting_threshold))
            }
        };
        Some(keys(&local, &remote, Box::new(local.packet_key()), remote_packets))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let (remote, local) = self.next.as_mut()?;
        let keys = KeyPair::<Box<dyn PacketKey>> {
            local: Box::new(local.packet_key()),
            remote: Box::new(remote.packet_key()),
        };
        (*remote, *local) = (remote.next(), local.next());
        Some(keys)
    }

    fn is_valid_retry(&self, destination: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        is_retry(destination, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let label = str::from_utf8(label).map_err(|_| ExportKeyingMaterialError)?;
        let exported = self.ssl.export_keying_material(output, label, Some(context));
        exported.map_err(|_| ExportKeyingMaterialError)
    }
}
