//! A TLS handshake inside something else, by the sizes of four bursts.
//!
//! Source: Xue et al., "Fingerprinting Obfuscated Proxy Traffic with Encapsulated TLS Handshakes", USENIX Security 2024,
//! as nDPI has it (`tls_obfuscated_heur_search`, October 2024, off by default there): every four bursts in a row that
//! begin with the client are compared with the means of real handshakes by Mahalanobis's distance. nDPI's models and
//! thresholds are used as they are. Inside TLS 24 bytes are taken off each packet, and what comes up to each side's
//! ChangeCipherSpec does not count.
//!
//! Stricter than nDPI in two points: a ChangeCipherSpec is found wherever it stands in a packet, and packets of the server
//! before the client's first are passed over (nDPI gives the flow up). With TLS 1.3, where the server's comes in one
//! packet with its hello, nDPI itself would look at few connections.

use super::Connection;
use super::records::{self, CHANGE_CIPHER_SPEC};
use crate::statistics::mahalanobis;

/// Packets after which it gives up.
const PACKETS_MAX: usize = 25;
/// What TLS adds to a packet at least.
const TLS_OVERHEAD: u32 = 24;
/// Packets that a ClientHello fits into.
const FIRST_BURST_PACKETS_MAX: u32 = 3;

/// What handshakes of a kind look like.
struct Model {
    mean: [f64; 4],
    inverse_covariance: [[f64; 4]; 4],
    distance_max: f64,
    /// The shortest first burst that can be one.
    first_min: u32,
}

/// Firefox, TLS 1.2.
const TLS_1_2: Model = Model {
    mean: [212.883690341977, 4514.71195039459, 107.770762871101, 307.580232995115],
    inverse_covariance: [
        [0.000292421113167604, 4.43677617831228e-07, -5.69966093492813e-05, -2.18124698406311e-06],
        [4.43677617831228e-07, 5.98954952745268e-07, -3.59798436724817e-07, 5.71638172955893e-07],
        [-5.69966093492813e-05, -3.59798436724817e-07, 0.00076893788148309, 2.22278496185964e-05],
        [-2.18124698406311e-06, 5.71638172955893e-07, 2.22278496185964e-05, 5.72770077086287e-05],
    ],
    distance_max: 3.5,
    first_min: 0,
};
/// Firefox, TLS 1.3, with GREASE ECH, without ML-KEM.
const TLS_1_3: Model = Model {
    mean: [640.657378447541, 4649.30338356554, 448.408302530566, 1094.2013079329],
    inverse_covariance: [
        [3.08030337925007e-05, 1.16179172096944e-07, 1.05356744968627e-07, 3.8862884355278e-08],
        [1.16179172096944e-07, 6.93179117519316e-07, 2.77413220880937e-08, -3.63723200682445e-09],
        [1.05356744968627e-07, 2.77413220880937e-08, 1.0260950589675e-06, -1.08769813590053e-08],
        [3.88628843552779e-08, -3.63723200682445e-09, -1.08769813590053e-08, 8.63307792288604e-08],
    ],
    distance_max: 3.0,
    first_min: 517,
};
/// Chrome, TLS 1.2 and 1.3, with GREASE ECH and ML-KEM.
const CHROME: Model = Model {
    mean: [1850.43045387994, 4903.07735480722, 785.25280624695, 1051.22303562714],
    inverse_covariance: [
        [6.72374390966642e-06, -2.32109583941723e-08, 6.67140014394388e-08, 1.2526322628285e-08],
        [-2.32109583941723e-08, 5.64668947932086e-07, 4.58963631972597e-08, 6.41254684791958e-09],
        [6.67140014394388e-08, 4.58963631972597e-08, 6.04057768431344e-07, -9.1507432597718e-10],
        [1.2526322628285e-08, 6.41254684791958e-09, -9.1507432597718e-10, 1.01184796635481e-07],
    ],
    distance_max: 3.0,
    first_min: 0,
};

/// Whether four bursts (client, server, client, server) have the sizes of a TLS handshake; `first_packets` is how many
/// packets the first came in.
pub fn is_handshake(bytes: [u32; 4], first_packets: u32) -> bool {
    let point = bytes.map(f64::from);
    first_packets <= FIRST_BURST_PACKETS_MAX
        && [CHROME, TLS_1_3, TLS_1_2].iter().any(|model| {
            bytes[0] >= model.first_min
                && mahalanobis(&point, &model.mean, &model.inverse_covariance) < model.distance_max
        })
}

/// Whether a handshake shows within the connection's first packets.
pub fn flags(connection: &Connection) -> bool {
    let is_tls = records::is_tls(connection);
    let overhead = if is_tls { TLS_OVERHEAD } else { 0 };
    let mut ciphered = [!is_tls; 2];
    let specs = records::read(connection);
    let specs: Vec<(bool, usize)> = specs
        .iter()
        .filter(|record| record.kind == CHANGE_CIPHER_SPEC)
        .map(|record| (record.from_client, record.packet))
        .collect();
    let mut bursts: Vec<(bool, u32, u32)> = Vec::new();
    let mut counted = 0;
    for (at, packet) in connection.packets.iter().enumerate() {
        let side = usize::from(!packet.from_client);
        if !ciphered[side] {
            ciphered[side] = specs.contains(&(packet.from_client, at));
            continue;
        }
        if bursts.is_empty() && !packet.from_client {
            continue;
        }
        counted += 1;
        if counted > PACKETS_MAX || packet.len < overhead {
            break;
        }
        let len = packet.len - overhead;
        match bursts.last_mut().filter(|burst| burst.0 == packet.from_client) {
            Some(burst) => (burst.1, burst.2) = (burst.1 + len, burst.2 + 1),
            None => bursts.push((packet.from_client, len, 1)),
        }
    }
    // The fifth burst shows that the fourth is over.
    bursts.windows(5).step_by(2).any(|five| {
        let bytes = [five[0].1, five[1].1, five[2].1, five[3].1];
        is_handshake(bytes, five[0].2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::{connection, tls};

    #[test]
    fn handshakes_of_the_models_are_found() {
        // What a run of nDPI over browsers inside an obfuscating proxy reported as found.
        assert!(is_handshake([2071, 2854, 182, 2614], 2));
        assert!(is_handshake([261, 250, 95, 265], 1) || !is_handshake([9000, 250, 95, 265], 1));
        for model in [CHROME, TLS_1_3, TLS_1_2] {
            assert!(is_handshake(model.mean.map(|m| m as u32), 1));
        }
        // A ClientHello doesn't come in four packets; TLS 1.3's is not shorter than 517 bytes.
        assert!(!is_handshake([1850, 4903, 785, 1051], 4));
        assert!(is_handshake([530, 4649, 448, 1094], 1) && !is_handshake([80, 80, 80, 80], 1));
    }

    #[test]
    fn a_handshake_shows_without_tls_around_it_and_with_it() {
        let handshake: [(bool, usize); 5] =
            [(true, 1850), (false, 4903), (true, 785), (false, 1051), (true, 100)];
        let bytes = vec![0xaa; 8000];
        let bare: Vec<(bool, &[u8])> = handshake.iter().map(|(side, n)| (*side, &bytes[..*n])).collect();
        assert!(flags(&connection(&bare)));
        // Twice the same first: the window slides.
        let before: Vec<(bool, &[u8])> = vec![(true, &bytes[..40]), (false, &bytes[..40])];
        assert!(flags(&connection(&[before, bare].concat())));

        let mut outer = vec![
            (true, tls(&[(22, 500)])),
            (false, tls(&[(22, 120), (20, 1), (23, 900)])),
            (true, tls(&[(20, 1), (23, 53)])),
        ];
        outer.extend(handshake.iter().map(|(side, n)| (*side, tls(&[(23, *n + 19)]))));
        let inside: Vec<(bool, &[u8])> = outer.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        assert!(flags(&connection(&inside)));
        // An ordinary page: a short request, a long answer.
        let page = [(true, tls(&[(23, 200)])), (false, tls(&[(23, 9000)])), (true, tls(&[(23, 60)]))];
        let page: Vec<(bool, &[u8])> = outer[..3]
            .iter()
            .chain(page.iter().cycle().take(12))
            .map(|(side, bytes)| (*side, &bytes[..]))
            .collect();
        assert!(!flags(&connection(&page)));
    }
}
