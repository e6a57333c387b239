//! Why things end.

/// How a peer that holds the keys broke the protocol. The session ends with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame's type is not of this version, or the frame is cut.
    #[error("a frame of type {0:#x} is unknown or cut: the peer speaks another version, or has a fault")]
    Frame(u64),
    /// More data than credit was given for, on a stream or in all.
    #[error("the peer sent more than it had credit for")]
    FlowControl,
    /// A stream beyond the limit.
    #[error("the peer opened more streams than it may")]
    StreamLimit,
    /// A stream that can't exist, or a frame that only the other side may send on it.
    #[error("a frame for a stream that was never opened")]
    StreamUnknown,
    /// A stream's end moved, or data lies beyond it.
    #[error("the end of a stream changed after it was told")]
    FinalSize,
    /// A stream does not begin with a destination, or the answer not with the byte of success.
    #[error("a stream does not begin as it must")]
    Preamble,
    /// Something was acknowledged that was never sent.
    #[error("the peer acknowledged what was never sent")]
    Acknowledgement,
    /// An unreliable datagram carries what needs a reliable path.
    #[error("an unreliable datagram carries a frame that needs a reliable path")]
    Datagram,
    /// Data came in more separate pieces than are kept.
    #[error("the peer left more gaps in its streams than are kept track of")]
    Gaps,
}

/// Why a path ended. Others of the session go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The transport said so.
    #[error("the transport lost the connection")]
    Lost,
    /// One side wanted it.
    #[error("the path was closed")]
    Closed,
    /// The other side lost it.
    #[error("the peer lost the path")]
    PeerLost,
    /// No answer to the handshake, or to a ping.
    #[error("the path did not answer in time")]
    Timeout,
    /// Bytes that no holder of the keys sent: they were changed on the way, or the transport mixed them up.
    #[error("a record was damaged on the way: whatever carries the path changed or lost bytes")]
    Record,
    /// The handshake's answer is not the server's: a wrong card, or somebody between.
    #[error("the handshake failed: the card does not fit the server, or somebody is between")]
    Handshake,
    /// The server has as many paths of this session, or as many sessions, as it wants.
    #[error("the server is busy: try again later")]
    Refused,
    /// The session is over.
    #[error("the session has ended")]
    SessionEnded,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed here, with code {0}")]
    Local(u64),
    /// The peer closed it.
    #[error("closed by the peer, with code {0}")]
    Peer(u64),
    /// The peer broke the protocol.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// Without a path for too long.
    #[error("no path for too long")]
    Timeout,
    /// The server doesn't know the session any more: it was away for too long, or the server began anew.
    #[error("the server has forgotten the session: begin a new one")]
    Forgotten,
}

/// Why something can't be done with a stream or session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// There is no such stream: it was never opened, or is over.
    #[error("there is no such stream")]
    NoStream,
    /// This direction of the stream has ended.
    #[error("this direction of the stream has ended")]
    Ended,
    /// The peer reset the stream, or wants no more on it.
    #[error("the peer ended the stream with code {0}")]
    Reset(u64),
    /// The peer's limit of streams, or this side's of what it keeps, is reached: try again when others have ended.
    #[error("a limit is reached: try again when others have ended")]
    Limit,
    /// The session is over.
    #[error("the session has ended")]
    SessionEnded,
    /// Only the other role does this.
    #[error("only the other side of a session does this")]
    WrongRole,
    /// The session has no keys yet, and one path is at it.
    #[error("the first path is still being made: wait for it, or give it up")]
    NotReady,
}

/// Codes of `RESET`, `STOP` and `CLOSE` that both sides understand. Others may be used between a client and a
/// server that know them.
pub mod code {
    /// Nothing is wrong.
    pub const NONE: u64 = 0;
    /// The other side broke the protocol.
    pub const VIOLATION: u64 = 1;
    /// Something failed that has no code of its own.
    pub const INTERNAL: u64 = 2;
    /// The server's rules don't allow the destination.
    pub const NOT_ALLOWED: u64 = 3;
    /// The destination's network is unreachable.
    pub const NETWORK_UNREACHABLE: u64 = 4;
    /// The destination's host is unreachable.
    pub const HOST_UNREACHABLE: u64 = 5;
    /// The destination refused the connection.
    pub const REFUSED: u64 = 6;
    /// The destination did not answer in time.
    pub const TIMEOUT: u64 = 7;
    /// The name does not exist, or has no address.
    pub const NAME: u64 = 8;
    /// The connection was reset behind the server, or before the client.
    pub const RESET: u64 = 9;
    /// The server is at a limit, or is being stopped.
    pub const BUSY: u64 = 10;
}
