//! Names of operations and results.

use crate::Dir;

/// The operations by tag: name, and who sends it.
pub(super) fn operation(tag: u8) -> Option<(&'static str, Dir)> {
    Some(match tag {
        0x60 => ("bind", Dir::Client),
        0x61 => ("bind", Dir::Server),
        0x42 => ("unbind", Dir::Client),
        0x63 => ("search", Dir::Client),
        0x64 | 0x65 | 0x73 => ("search", Dir::Server),
        0x66 => ("modify", Dir::Client),
        0x67 => ("modify", Dir::Server),
        0x68 => ("add", Dir::Client),
        0x69 => ("add", Dir::Server),
        0x4a => ("delete", Dir::Client),
        0x6b => ("delete", Dir::Server),
        0x6c => ("modify-dn", Dir::Client),
        0x6d => ("modify-dn", Dir::Server),
        0x6e => ("compare", Dir::Client),
        0x6f => ("compare", Dir::Server),
        0x50 => ("abandon", Dir::Client),
        0x77 => ("extended", Dir::Client),
        0x78 | 0x79 => ("extended", Dir::Server),
        _ => return None,
    })
}

/// RFC 4511 §4.1.9 and appendix A.
pub(super) fn result_name(code: u64) -> &'static str {
    match code {
        0 => "success",
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        5 => "compareFalse",
        6 => "compareTrue",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        14 => "saslBindInProgress",
        16 => "noSuchAttribute",
        17 => "undefinedAttributeType",
        18 => "inappropriateMatching",
        19 => "constraintViolation",
        20 => "attributeOrValueExists",
        21 => "invalidAttributeSyntax",
        32 => "noSuchObject",
        33 => "aliasProblem",
        34 => "invalidDNSyntax",
        36 => "aliasDereferencingProblem",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        54 => "loopDetect",
        64 => "namingViolation",
        65 => "objectClassViolation",
        66 => "notAllowedOnNonLeaf",
        67 => "notAllowedOnRDN",
        68 => "entryAlreadyExists",
        69 => "objectClassModsProhibited",
        71 => "affectsMultipleDSAs",
        80 => "other",
        _ => "unknown",
    }
}
