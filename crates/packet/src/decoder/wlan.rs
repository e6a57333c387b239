//! IEEE 802.11 data frames: unencrypted ones, as far as the LLC header.

use super::walk::{Layer, Step, Stop, Walk};

const TO_DS_AND_FROM_DS: u8 = 0x03;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;

impl Walk<'_, '_> {
    pub(super) fn wlan(&mut self, swapped: bool) -> Step {
        self.wlan_frame(swapped, false)
    }

    /// An 802.11 frame whose header may be padded to a multiple of four, as radiotap can say.
    pub(super) fn wlan_padded(&mut self, padded: bool) -> Step {
        self.wlan_frame(false, padded)
    }

    fn wlan_frame(&mut self, swapped: bool, padded: bool) -> Step {
        let header = self.head::<24>()?;
        let (control, flags) = if swapped { (header[1], header[0]) } else { (header[0], header[1]) };
        let (version, kind, subtype) = (control & 3, control >> 2 & 3, control >> 4);
        // Who swaps the frame control swaps the sequence control too.
        let fragment = if swapped { header[23] & 0x0f } else { header[22] & 0x0f };
        if version != 0 {
            return Err(Stop::Broken);
        }
        // Management, control, "null" data without a body; what is encrypted; and all but a first fragment.
        if kind != 2 || subtype & 4 != 0 || flags & PROTECTED != 0 || fragment != 0 {
            return Err(Stop::NotIp);
        }
        let mut len = 24;
        if flags & TO_DS_AND_FROM_DS == TO_DS_AND_FROM_DS {
            len += 6;
        }
        let mut aggregated = false;
        if subtype & 8 != 0 {
            aggregated = self.rest().get(len).ok_or(Stop::Broken)? & 0x80 != 0;
            len += 2;
            if flags & ORDER != 0 {
                len += 4;
            }
        }
        if padded {
            len = len.next_multiple_of(4);
        }
        self.advance(len)?;
        if aggregated {
            // An A-MSDU: only its first subframe (addresses, length, LLC) is read.
            let len = usize::from(self.u16_at(12)?);
            self.advance(14)?;
            self.trim(len);
        }
        Ok(Layer::Llc)
    }
}
