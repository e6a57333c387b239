//! `plain`: TCP and nothing else.

use daylight_tunnel::transports::plain::path::Client;
use tokio::net::TcpStream;

use super::super::way::Server;
use super::Dial;

pub(super) fn dial(connection: TcpStream, server: &Server) -> Dial {
    let client = Client { connection, server: server.key, access: server.keys.access.clone() };
    Dial { dialled: Box::new(client), driving: None }
}
