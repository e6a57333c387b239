//! How to tell programs of the proxies.

use std::net::SocketAddr;

/// What a person does in one program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hint {
    /// The program.
    pub program: &'static str,
    /// What to do, as a sentence or commands: lines of at most 60 letters with an IPv4 address.
    pub steps: String,
}

/// A link that sets Telegram up when it is opened.
#[must_use]
pub fn telegram_link(proxy: SocketAddr) -> String {
    format!("tg://socks?server={}&port={}", proxy.ip(), proxy.port())
}

/// Where the proxies' configuration file is.
#[must_use]
pub fn pac_url(proxy: SocketAddr) -> String {
    format!("http://{proxy}/proxy.pac")
}

/// What to do in the programs that people use most. Names are looked up at the far end in all of them.
#[must_use]
pub fn hints(proxy: SocketAddr) -> Vec<Hint> {
    let pac = pac_url(proxy);
    let hint = |program, steps: String| Hint { program, steps };
    vec![
        hint("any browser", format!("its settings → automatic proxy configuration:\n{pac}")),
        hint(
            "Firefox",
            format!("Settings → General → Network Settings →\nAutomatic proxy configuration URL:\n{pac}"),
        ),
        hint("Chrome, Chromium", format!("chromium --proxy-server=socks5://{proxy}")),
        hint("Telegram", format!("open {}", telegram_link(proxy))),
        hint("curl", format!("curl --proxy socks5h://{proxy} https://example.org/")),
        hint("git", format!("git config --global http.proxy socks5h://{proxy}")),
        hint(
            "apt",
            format!(
                "apt -o Acquire::http::Proxy=socks5h://{proxy} \\\n  -o Acquire::https::Proxy=socks5h://{proxy} update"
            ),
        ),
        hint("ssh", format!("ssh -o ProxyCommand='nc -X 5 -x {proxy} %h %p' HOST")),
        hint(
            "others",
            format!(
                "export ALL_PROXY=socks5h://{proxy}\nexport HTTPS_PROXY=http://{proxy}\nexport HTTP_PROXY=http://{proxy}"
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_as_programs_read_them() {
        let proxy = SocketAddr::from(([127, 0, 0, 1], 1080));
        assert_eq!(telegram_link(proxy), "tg://socks?server=127.0.0.1&port=1080");
        assert_eq!(pac_url("[::1]:1080".parse().expect("an address")), "http://[::1]:1080/proxy.pac");
        assert!(hints(proxy).iter().all(|hint| hint.steps.contains("1080")));
        let fits =
            |hint: &Hint| hint.program.len() <= 16 && hint.steps.lines().all(|l| l.chars().count() <= 60);
        assert!(hints(proxy).iter().all(fits));
    }
}
