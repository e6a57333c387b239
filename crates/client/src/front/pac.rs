//! The proxy auto-configuration file, from which browsers learn what to send here.

use std::net::SocketAddr;

/// Addresses are compared as text: `isInNet` and `isResolvable` would look names up past the tunnel. There is no `DIRECT`
/// behind the proxies, so that nothing goes past a tunnel that is down.
pub(super) fn file(proxy: SocketAddr, direct_private: bool) -> String {
    let direct = if direct_private {
        r#"    if (isPlainHostName(host) || dnsDomainIs(host, ".local") || host == "localhost"
        || /^(127|10|192\.168|169\.254|172\.(1[6-9]|2[0-9]|3[01]))(\.[0-9]+)+$/.test(host)
        || /^\[?(::1|f[cd][0-9a-f]{2}:.*|fe[89ab][0-9a-f]:.*)\]?$/i.test(host))
        return "DIRECT";
"#
    } else {
        r#"    if (host == "localhost" || /^127(\.[0-9]+)+$/.test(host) || /^\[?::1\]?$/.test(host))
        return "DIRECT";
"#
    };
    format!(
        "function FindProxyForURL(url, host) {{\n{direct}    return \"SOCKS5 {proxy}; SOCKS {proxy}; PROXY {proxy}\";\n}}\n"
    )
}
