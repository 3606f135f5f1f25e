//! What the machine takes in and puts out, and the bounds it keeps.

use crate::domain::position::{Frontier, Position, Range};

/// The bounds of the line. Times in milliseconds.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Credit: events in flight, in all partitions together.
    pub window_events_max: u64,
    pub batches_in_flight_max: usize,
    /// Events one read may bring.
    pub batch_events_max: u64,
    /// With backlog and no progress for this long, the line rewinds and is red.
    pub stall_ms: u64,
    /// First and longest wait between rewinds that brought no progress.
    pub rewind_backoff_ms: [u64; 2],
    /// More quarantines than this within `quarantines_within_ms`, and the line stops: not the events are at fault.
    pub quarantines_max: usize,
    pub quarantines_within_ms: u64,
    /// A second restart of the whole line within this long ends the process.
    pub line_restart_within_ms: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The log's durable end.
    LogGrew(Frontier),
    /// The source has read this range and sends it on.
    ReadDone {
        generation: u64,
        range: Range,
        events: u64,
    },
    /// The store's applied frontier after a batch of this generation.
    Acked {
        generation: u64,
        applied: Frontier,
    },
    WorkerUp {
        worker: usize,
        incarnation: u64,
    },
    /// An actor ended, and was not asked to. `busy_with` is the batch in its hands; `applied` what the store has.
    WorkerEnded {
        worker: usize,
        incarnation: u64,
        end: End,
        busy_with: Option<Busy>,
        applied: Frontier,
    },
    /// Something could not be delivered, or the store misses what came before.
    RewindAsked {
        generation: u64,
        why: String,
        applied: Frontier,
    },
    /// The record of the quarantine that was asked for is durable, or could not be made so.
    QuarantineDurable {
        at: Position,
    },
    QuarantineFailed {
        at: Position,
        why: String,
    },
    /// Time has passed.
    Tick {
        applied: Frontier,
    },
    /// Stop in order.
    Shutdown,
}

/// How an actor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Panic(String),
    /// The world failed, and retrying in place was of no use.
    Fault(String),
    /// It stopped without being asked to.
    Stopped,
}

/// The batch that an actor was working on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    pub generation: u64,
    pub range: Range,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Batches of older generations are to be shed from now on.
    Raise {
        generation: u64,
    },
    /// Make a new actor; put it into its slot before it is reported up.
    Spawn {
        worker: usize,
        incarnation: u64,
    },
    /// End this actor; no report is expected.
    Abort {
        worker: usize,
    },
    Read(ReadOrder),
    /// Send the sink an empty batch of this generation, behind all it has: its acknowledgement says that nothing older is
    /// in its hands any more.
    Fence {
        generation: u64,
        at: Position,
    },
    /// Append the quarantine record for the event at this place in the log.
    Quarantine {
        at: Position,
        worker: usize,
        reason: String,
    },
    /// Nothing is in flight any more, and nothing will be read.
    Drained,
    /// The line cannot go on: end the process with a code that is not 0.
    Exit {
        why: String,
    },
}

/// What the source is to read and send on as one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOrder {
    pub generation: u64,
    pub from: Position,
    /// Exclusive; what lies beyond is not read, however little there is.
    pub until: u64,
    pub events_max: u64,
}

/// What the line is up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    Running,
    Draining,
    Drained,
    /// Stopped for a person to look at; the reason says at what.
    Halted(String),
}
