//! The table of all protocols: the one line that a new protocol's file needs elsewhere.

use crate::{Protocol, common};
use crate::{
    database, files, identity, industrial, mail, media, messaging, names, network, p2p, remote, vpn, web,
};

macro_rules! protocols {
    ($($id:ident = $path:path;)*) => {
        /// A protocol, by number. The numbers are not stable: records carry names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(u16)]
        #[allow(missing_docs)] // each protocol has a title and a page of its own
        pub enum ProtocolId {
            #[default]
            Unknown,
            $($id,)*
        }

        /// All protocols; the first is the stand-in for "not known".
        static PROTOCOLS: &[Protocol] = &[common::PROTOCOL, $($path,)*];
        static IDS: &[ProtocolId] = &[ProtocolId::Unknown, $(ProtocolId::$id,)*];
    };
}

protocols! {
    Icmp = network::icmp::PROTOCOL;
    Icmpv6 = network::icmpv6::PROTOCOL;
    Dhcp = network::dhcp::PROTOCOL;
    Dhcpv6 = network::dhcpv6::PROTOCOL;
    Ntp = network::ntp::PROTOCOL;
    Ssdp = network::ssdp::PROTOCOL;
    Snmp = network::snmp::PROTOCOL;
    Syslog = network::syslog::PROTOCOL;
    Bgp = network::bgp::PROTOCOL;
    Dns = names::dns::PROTOCOL;
    Mdns = names::mdns::PROTOCOL;
    Llmnr = names::llmnr::PROTOCOL;
    NetbiosNs = names::netbios_ns::PROTOCOL;
    NetbiosDgm = names::netbios_dgm::PROTOCOL;
    NetbiosSsn = names::netbios_ssn::PROTOCOL;
    Http = web::http::PROTOCOL;
    Http2 = web::http2::PROTOCOL;
    Websocket = web::websocket::PROTOCOL;
    Tls = web::tls::PROTOCOL;
    Dtls = web::dtls::PROTOCOL;
    Quic = web::quic::PROTOCOL;
    Dot = names::dot::PROTOCOL;
    Doh = names::doh::PROTOCOL;
    Doq = names::doq::PROTOCOL;
    HttpConnect = web::http_connect::PROTOCOL;
    HttpProxy = web::http_proxy::PROTOCOL;
    Smtp = mail::smtp::PROTOCOL;
    Smtps = mail::smtps::PROTOCOL;
    Pop3 = mail::pop3::PROTOCOL;
    Pop3s = mail::pop3s::PROTOCOL;
    Imap = mail::imap::PROTOCOL;
    Imaps = mail::imaps::PROTOCOL;
    Ftp = files::ftp::PROTOCOL;
    Ftps = files::ftps::PROTOCOL;
    FtpData = files::ftp_data::PROTOCOL;
    Smb1 = files::smb1::PROTOCOL;
    Smb2 = files::smb2::PROTOCOL;
    Sunrpc = files::sunrpc::PROTOCOL;
    Nfs = files::nfs::PROTOCOL;
    Tftp = files::tftp::PROTOCOL;
    Ssh = remote::ssh::PROTOCOL;
    Telnet = remote::telnet::PROTOCOL;
    Rdp = remote::rdp::PROTOCOL;
    Vnc = remote::vnc::PROTOCOL;
    Anydesk = remote::anydesk::PROTOCOL;
    Kerberos = identity::kerberos::PROTOCOL;
    Ldap = identity::ldap::PROTOCOL;
    Ldaps = identity::ldaps::PROTOCOL;
    Radius = identity::radius::PROTOCOL;
    Dcerpc = identity::dcerpc::PROTOCOL;
    Mysql = database::mysql::PROTOCOL;
    Postgresql = database::postgresql::PROTOCOL;
    Tds = database::tds::PROTOCOL;
    Mongodb = database::mongodb::PROTOCOL;
    Redis = database::redis::PROTOCOL;
    Xmpp = messaging::xmpp::PROTOCOL;
    Mqtt = messaging::mqtt::PROTOCOL;
    Whatsapp = messaging::whatsapp::PROTOCOL;
    Sip = media::sip::PROTOCOL;
    Rtp = media::rtp::PROTOCOL;
    Rtcp = media::rtcp::PROTOCOL;
    Stun = media::stun::PROTOCOL;
    Zoom = media::zoom::PROTOCOL;
    Teams = media::teams::PROTOCOL;
    Bittorrent = p2p::bittorrent::PROTOCOL;
    Stratum = p2p::stratum::PROTOCOL;
    Ike = vpn::ike::PROTOCOL;
    Esp = vpn::esp::PROTOCOL;
    Ah = vpn::ah::PROTOCOL;
    Openvpn = vpn::openvpn::PROTOCOL;
    Wireguard = vpn::wireguard::PROTOCOL;
    Socks = vpn::socks::PROTOCOL;
    Modbus = industrial::modbus::PROTOCOL;
}

impl ProtocolId {
    /// How many there are, with `Unknown`.
    pub const COUNT: usize = Self::Modbus as usize + 1;

    /// What is declared of it.
    pub fn get(self) -> &'static Protocol {
        &PROTOCOLS[self as usize]
    }

    /// Its name in records.
    pub fn name(self) -> &'static str {
        self.get().name
    }

    /// All protocols, without `Unknown`.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        IDS[1..].iter().copied()
    }

    /// The protocol of this number, as from `id as usize`.
    pub fn from_index(index: usize) -> Option<Self> {
        IDS.get(index).copied()
    }

    /// The protocol of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        IDS.iter().copied().find(|id| id.name() == name)
    }
}
