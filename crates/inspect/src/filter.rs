//! Expressions over flow records.

use daylight_expr::{Error, FieldType, NoLists, Program, Row, Schema, ValueRef};
use daylight_packet::TransportKind;
use daylight_protocols::{FieldRef, ProtocolId};

use crate::record::{Column, ColumnId, Core, FlowRecord, column, columns};

/// A record's columns as an expression's fields.
pub struct RecordSchema;

impl Schema for RecordSchema {
    fn field(&self, name: &str) -> Option<FieldType> {
        if let Some(Column { id, kind, list, .. }) = column(name) {
            return Some(FieldType { id: number(*id), kind: *kind, list: *list });
        }
        // A protocol's name alone asks whether the flow speaks it: `tls && dst_port != 443`.
        let protocol = ProtocolId::from_name(name).filter(|id| *id != ProtocolId::Unknown)?;
        Some(FieldType { id: SPEAKS + protocol as u32, kind: daylight_expr::Kind::Bool, list: false })
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(columns().iter().map(|c| c.name).chain(ProtocolId::all().map(|id| id.name())))
    }

    fn alias(&self, name: &str) -> Option<&str> {
        Some(match name {
            "ip.src" | "ipv6.src" | "id.orig_h" | "src" | "client" => "src_ip",
            "ip.dst" | "ipv6.dst" | "id.resp_h" | "dst" | "server" => "dst_ip",
            "tcp.srcport" | "udp.srcport" | "id.orig_p" | "sport" => "src_port",
            "tcp.dstport" | "udp.dstport" | "id.resp_p" | "dport" => "dst_port",
            "tls.handshake.extensions_server_name" | "tls.server_name" | "ssl.server_name" | "sni" => {
                "hostname"
            }
            "tls.sni" | "http.host" | "host" | "quic.server_name" => "hostname",
            "dns.qry.name" => "dns.query",
            "proto" | "service" => "protocol",
            "orig_bytes" => "src_bytes",
            "resp_bytes" => "dst_bytes",
            "conn_state" => "state",
            "frame.time" | "ts" => "start",
            "duration" => "duration_s",
            "risk" => "risks",
            "app" => "application",
            _ => return None,
        })
    }
}

/// Fields that ask whether a flow speaks a protocol.
const SPEAKS: u32 = 1 << 24;
const FIELD: u32 = 1 << 8;

fn number(id: ColumnId) -> u32 {
    match id {
        ColumnId::Core(core) => core as u32,
        ColumnId::Field(FieldRef { protocol, index }) => FIELD + ((protocol as u32) << 8 | u32::from(index)),
    }
}

fn column_id(number: u32) -> Option<ColumnId> {
    if number < FIELD {
        return columns().get(number as usize).map(|c| c.id);
    }
    let protocol = ProtocolId::from_index(((number - FIELD) >> 8) as usize)?;
    Some(ColumnId::Field(FieldRef { protocol, index: (number - FIELD) as u8 }))
}

/// The protocol that a flow with this label speaks as well: the label says more than that, not something else. A client
/// that asks for its page in absolute form still speaks `http`, and one that says that it will speak FTP inside, `tls`.
fn carrier(label: ProtocolId, ip_protocol: u8) -> Option<ProtocolId> {
    use ProtocolId::*;
    match label {
        HttpProxy | HttpConnect => Some(Http),
        Doh | Dot | Doq if ip_protocol == TransportKind::UDP => Some(Quic),
        Doh | Dot | Doq | Ftps | Imaps | Ldaps | Pop3s | Smtps => Some(Tls),
        _ => None,
    }
}

impl Row for FlowRecord {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        let (mut speaks, mut column) = (None, None);
        if id >= SPEAKS {
            // Absent rather than false, so that the bare name is a test: the language asks whether a field exists.
            let speaks_it = self.protocol as u32 == id - SPEAKS
                || carrier(self.protocol, self.ends.ip_protocol).is_some_and(|it| it as u32 == id - SPEAKS);
            speaks = speaks_it.then_some(ValueRef::Bool(true));
        } else {
            column = column_id(id);
        }
        speaks.into_iter().chain(column.into_iter().flat_map(|id| Self::values(self, id)))
    }
}

/// Compiles an expression over a record's columns.
///
/// # Errors
/// If it is not an expression, names a field that there isn't, or compares what can't be compared.
pub fn compile(text: &str) -> Result<Program, Error> {
    daylight_expr::compile(text, &RecordSchema, &NoLists)
}

/// The columns that an expression needs.
pub fn columns_of(program: &Program) -> impl Iterator<Item = ColumnId> + '_ {
    program.fields().iter().filter(|id| **id < SPEAKS).filter_map(|id| column_id(*id))
}

const _: () = assert!((Core::DstGapMax as u32) < FIELD);
