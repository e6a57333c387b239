//! Passwords in URLs and forms: that they are there is told, and they are left out of what is kept.

use std::borrow::Cow;

use super::message::percent_decode;

/// Parameters that hold a secret, in a query or a form.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "pass",
    "passwort",
    "user_password",
    "userpassword",
    "login_password",
    "pin",
    "contrasena",
    "mot_de_passe",
];

/// The name of the parameter by which a password goes over the wire in clear, if it has a value.
pub fn secret_parameter(form: &[u8]) -> Option<&'static str> {
    form.split(|b| matches!(b, b'&' | b';' | b'?')).take(64).find_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=').filter(|at| at + 1 < pair.len())?;
        // Frameworks write user[password] and form.password.
        let key = percent_decode(&pair[..at], false);
        let key = key.strip_suffix(b"]").unwrap_or(&key);
        let key = key.rsplit(|b| matches!(b, b'[' | b'.' | b':')).next().unwrap_or(key);
        SECRETS.iter().copied().find(|s| key.eq_ignore_ascii_case(s.as_bytes()))
    })
}

/// A URL with the values of such parameters, and a password before the host, left out: records hold no secrets.
pub fn redact(url: &[u8]) -> Cow<'_, [u8]> {
    let query = url.iter().position(|b| *b == b'?').map_or(url.len(), |at| at + 1);
    let secret = secret_parameter(&url[query..]).is_some();
    let authority = url.windows(3).take(16).position(|w| w == b"://").map(|at| at + 3);
    let user = authority.and_then(|from| {
        let end =
            url[from..].iter().position(|b| matches!(b, b'/' | b'?' | b'#')).map_or(url.len(), |n| from + n);
        let at = from + url[from..end].iter().rposition(|b| *b == b'@')?;
        let colon = from + url[from..at].iter().position(|b| *b == b':')?;
        Some((colon + 1, at))
    });
    if !secret && user.is_none() {
        return Cow::Borrowed(url);
    }
    let mut out = Vec::with_capacity(url.len());
    match user {
        Some((from, to)) => {
            out.extend_from_slice(&url[..from]);
            out.push(b'*');
            out.extend_from_slice(&url[to..query.max(to)]);
        }
        None => out.extend_from_slice(&url[..query]),
    }
    // Each parameter with the separator that ends it.
    for pair in url[query..].split_inclusive(|b| matches!(b, b'&' | b';' | b'?')) {
        let (body, end) = match pair.split_last() {
            Some((b'&' | b';' | b'?', body)) => (body, &pair[body.len()..]),
            _ => (pair, &pair[pair.len()..]),
        };
        match body.iter().position(|b| *b == b'=') {
            Some(at) if secret_parameter(body).is_some() => {
                out.extend_from_slice(&body[..=at]);
                out.push(b'*');
            }
            _ => out.extend_from_slice(body),
        }
        out.extend_from_slice(end);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets() {
        for form in
            ["user=a&password=x", "/login?pwd=1", "user[password]=x", "f.passwd=y&z=1", "user%5Bpass%5D=1"]
        {
            assert!(secret_parameter(form.as_bytes()).is_some(), "{form}");
        }
        for form in ["password=", "passage=1", "bypass=1", "q=password", "compass=3"] {
            assert_eq!(secret_parameter(form.as_bytes()), None, "{form}");
        }
    }

    #[test]
    fn secrets_are_left_out() {
        for (url, shown) in [
            ("/a?user=x&password=y&z=1", "/a?user=x&password=*&z=1"),
            ("/a?pwd=q", "/a?pwd=*"),
            ("http://u:secret@h/x", "http://u:*@h/x"),
            ("http://u:secret@h/x?pass=1;b=2", "http://u:*@h/x?pass=*;b=2"),
            ("http://u:secret@h", "http://u:*@h"),
            ("/a?b=c", "/a?b=c"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&redact(url.as_bytes())), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = (redact(&text), secret_parameter(&text));
        }
    }
}
