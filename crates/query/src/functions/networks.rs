//! Addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanBuilder, StringViewBuilder};
use datafusion::common::cast::as_int64_array;
use datafusion::common::{DataFusionError, Result};
use daylight_store::Networks;

use super::{argument, texts};

/// `in_prefix(ip, networks)`.
pub(super) fn in_prefix(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (addresses, networks) = (texts(arguments, 0)?, texts(arguments, 1)?);
    let mut out = BooleanBuilder::with_capacity(addresses.len());
    // Mostly it is the same for all rows.
    let mut known: Option<(&str, Networks)> = None;
    for (address, text) in addresses.iter().zip(networks) {
        let (Some(address), Some(text)) = (address, text) else {
            out.append_null();
            continue;
        };
        let networks = match &mut known {
            Some((before, networks)) if *before == text => networks,
            known => {
                let parsed = text
                    .parse::<Networks>()
                    .map_err(|error| DataFusionError::Execution(format!("in_prefix: {error}")))?;
                &mut known.insert((text, parsed)).1
            }
        };
        out.append_option(address.parse::<IpAddr>().ok().map(|ip| networks.contains(ip)));
    }
    Ok(Arc::new(out.finish()))
}

/// `prefix(ip, bits)`: for IPv4 at most 32 of them count, for IPv6 128.
pub(super) fn prefix(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (addresses, bits) = (texts(arguments, 0)?, as_int64_array(argument(arguments, 1)?)?);
    let mut out = StringViewBuilder::with_capacity(addresses.len());
    for (address, bits) in addresses.iter().zip(bits) {
        let (Some(ip), Some(bits)) = (address.and_then(|text| text.parse::<IpAddr>().ok()), bits) else {
            out.append_null();
            continue;
        };
        let bits = u8::try_from(bits).ok().filter(|bits| *bits <= 128).ok_or_else(|| {
            DataFusionError::Execution(format!(
                "prefix: {bits} is no length of a prefix: 0 to 32, or to 128 for IPv6"
            ))
        })?;
        out.append_value(network(ip, bits));
    }
    Ok(Arc::new(out.finish()))
}

fn network(ip: IpAddr, bits: u8) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let bits = bits.min(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or_default();
            format!("{}/{bits}", Ipv4Addr::from(u32::from(ip) & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
            format!("{}/{bits}", Ipv6Addr::from(u128::from(ip) & mask))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_addresses() {
        for (ip, bits, expected) in [
            ("192.0.2.77", 24, "192.0.2.0/24"),
            ("192.0.2.77", 0, "0.0.0.0/0"),
            ("192.0.2.77", 32, "192.0.2.77/32"),
            ("192.0.2.77", 64, "192.0.2.77/32"),
            ("2001:db8:1:2::3", 48, "2001:db8:1::/48"),
            ("2001:db8::1", 0, "::/0"),
            ("2001:db8::1", 128, "2001:db8::1/128"),
            ("::ffff:192.0.2.77", 24, "192.0.2.0/24"),
        ] {
            assert_eq!(network(ip.parse().unwrap(), bits), expected);
        }
    }
}
