//! Names of hosts.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanBuilder};
use datafusion::common::Result;

use super::{mapped, texts};

/// `registrable_domain(hostname)`, by the public suffix list; of a name that is a suffix itself, or an address, null.
pub(super) fn registrable_domain(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(mapped(texts(arguments, 0)?, |name| {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        psl::domain_str(&name).map(str::to_owned)
    }))
}

/// `domain_within(hostname, domain)`.
pub(super) fn domain_within(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (names, domains) = (texts(arguments, 0)?, texts(arguments, 1)?);
    let mut out = BooleanBuilder::with_capacity(names.len());
    for pair in names.iter().zip(domains) {
        out.append_option(match pair {
            (Some(name), Some(domain)) => Some(within(name, domain)),
            _ => None,
        });
    }
    Ok(Arc::new(out.finish()))
}

/// Whole labels count: `badexample.org` is not within `example.org`.
fn within(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.trim_end_matches('.').as_bytes(), domain.trim_matches('.').as_bytes());
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let (before, end) = name.split_at(at);
    !domain.is_empty() && end.eq_ignore_ascii_case(domain) && before.last().is_none_or(|byte| *byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_a_domain() {
        for name in ["example.org", "www.example.org", "WWW.Example.ORG.", "a.b.example.org"] {
            assert!(within(name, "example.org"), "{name}");
            assert!(within(name, ".example.org."), "{name}");
        }
        for name in ["badexample.org", "example.org.uk", "org", "", "example.com"] {
            assert!(!within(name, "example.org"), "{name}");
        }
        assert!(!within("example.org", ""));
    }
}
