//! Every bound of the crate, in one place: its value, its unit and why it is that.
//!
//! Nothing here is a tuning knob that a correct program needs; each is the point past which input is
//! refused with a clear error instead of being allowed to cost more memory or time.

use std::time::Duration;

/// Bytes of one URL address. The bound of the design; a URL longer than this is no Hyperty's.
pub const ADDRESS_BYTES_MAX: usize = 2_048;
/// Path segments of one URL address. Bounds the depth of the FIB and of every descent.
pub const ADDRESS_SEGMENTS_MAX: usize = 64;

/// Addresses whose memory accesses one batched look-up overlaps; longer batches are cut. More than this
/// many lines in flight find no free line-fill buffer, and their hashes would no longer fit the stack frame.
pub const FIB_BATCH_MAX: usize = 32;
/// Hashed prefixes that one batched look-up holds on its stack; a batch of deep addresses is cut before
/// it needs more. Room for five prefixes an address in a full batch, and for the deepest address twice.
pub const FIB_PREFIXES_IN_FLIGHT_MAX: usize = 160;
/// Bytes of the nodes, the lists of entries and the directory of one FIB, at most: what 28 bits count in
/// units of
/// 16. At some 65 bytes for a usual name this is some 60 million prefixes. Names of all lengths in equal
///     numbers fill it
/// earlier: each size has chunks of its own.
pub const FIB_ARENA_BYTES_MAX: usize = 4 << 30;
/// What of that may be filled with the addresses of others: sessions and remote runtimes. The rest is
/// more than one request of theirs can need, each of its addresses deep.
pub const FIB_ARENA_BYTES_FOR_OTHERS: usize = FIB_ARENA_BYTES_MAX / 4 * 3;
/// Nodes that a bulk load makes room for on the word of its iterator, before it has seen them: a directory of
/// some 250 MB. What comes beyond makes its room as it comes.
pub const FIB_LOAD_PROMISED_MAX: usize = 16 << 20;
/// Places of one slab: as many as a FIB can hold names. At 64 bytes for a listener they take 4 GiB.
pub const SLAB_PLACES_MAX: u64 = 1 << 26;

/// Items for which a queue keeps places, of some 100 bytes, when there has been nothing to do for a while: an
/// idle connection is to cost little, and the next burst takes what it needs anew.
pub const OUTBOX_PLACES_KEPT: usize = 4;

/// Listeners of one MiniBus that stand in a list, at some 100 bytes each. One more, and they stand in a
/// forwarding table, which costs 20 KB for the first: most sandboxes have one or two, and a look through so
/// many takes no longer than one in the table.
pub const MINI_BUS_LIST_MAX: usize = 8;

/// Bytes of one message, without `hop`, unless configured otherwise.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Nesting depth of one message, its outer object being depth 1.
pub const MESSAGE_DEPTH_MAX: usize = 128;
/// URLs in one array `to`. Each costs a copy of the header, so this bounds amplification.
pub const TO_URLS_MAX: usize = 1_024;

/// Unacknowledged bytes of one stream that a receiver allows unless configured otherwise, and so the most it
/// ever holds back: some 20,000 messages of 400 bytes, a second of a fast path that lost its other path.
pub const HANDOVER_WINDOW_BYTES: usize = 8 << 20;
/// The largest number within a stream that control words may name: what a frame's head can carry, and far
/// from where counting on would overflow.
pub const HANDOVER_NUMBER_MAX: u64 = (1 << 62) - 1;
/// Unacknowledged messages of one stream, whatever their size; bounds the places of the hold-back.
pub const HANDOVER_WINDOW_MESSAGES: usize = 65_536;
/// Messages taken before an acknowledgement is given at once: writing, carrying and reading one costs as much
/// as a few messages, and shared by so many it costs each next to nothing.
pub const HANDOVER_ACK_EVERY: u64 = 256;
/// Messages taken before an acknowledgement goes along with a message of our own, by the direct way: it costs
/// no packet then, and what was sent leaves the sender's window, and the processor's caches, the sooner.
pub const HANDOVER_ACK_ALONG: u64 = 16;
/// Messages for which an empty window or hold-back ring may keep places, of some 160 bytes each. One that has
/// grown beyond is given back when there was no message for [`HANDOVER_PROBE_WAIT`].
pub const HANDOVER_PLACES_KEPT: usize = 64;
/// The part of a stream's window, one in so many, whose bytes are acknowledged at once when they are taken,
/// so that a sender of large messages does not wait for [`HANDOVER_ACK_WAIT`].
pub const HANDOVER_ACK_WINDOW_PART: usize = 8;
/// Longest wait of an acknowledgement for more messages to share it: as long as QUIC's own. With a wait that
/// is shorter than the system's tick, the system programs its timer anew whenever the process waits for a
/// message; benches/README.md says what that costs.
pub const HANDOVER_ACK_WAIT: Duration = Duration::from_millis(25);
/// How long a gap may stand before the receiver says `have`, and between repeats: longer than the usual
/// difference between two paths, short beside the deadline.
pub const HANDOVER_GAP_WAIT: Duration = Duration::from_millis(200);
/// Wait without progress before a sender asks by `marker`, and between repeats; four times this when nothing
/// but a `base` is to be heard.
pub const HANDOVER_PROBE_WAIT: Duration = Duration::from_secs(1);
/// Wait before a full sink or a full listener is tried again, if nobody says earlier that it has room.
pub const HANDOVER_ROOM_WAIT: Duration = Duration::from_millis(10);
/// From acceptance until a numbered message that is not acknowledged ends in doubt or is returned.
pub const HANDOVER_DEADLINE: Duration = Duration::from_secs(10);
/// The end of the deadline that is kept for asking the receiver: what it has fenced by then is returned, and
/// not in doubt. Some round trips by a slow Message Node.
pub const HANDOVER_FENCE_WAIT: Duration = Duration::from_secs(1);
/// Between two times that this is asked.
pub const HANDOVER_FENCE_AGAIN: Duration = Duration::from_millis(200);
/// Ranges of numbers in one control object: gaps that a receiver names at once, and fences that it remembers
/// for a sender that has not heard of them. In [`HANDOVER_FENCE_WAIT`] a sender asks some five times; a
/// control object with this many is still small.
pub const HANDOVER_RANGES_MAX: usize = 32;
/// How long a barrier may hold numbered messages on a silent Message Node path; under the deadline, so that a
/// dead Message Node never costs a message that the direct way could carry.
pub const HANDOVER_BARRIER_MAX: Duration = Duration::from_secs(8);
/// A stream whose receiver said nothing for this long, with messages unacknowledged, ends: three deadlines.
pub const HANDOVER_SILENCE_MAX: Duration = Duration::from_secs(30);
/// A sender's stream ends after this long without a connection and without anything unacknowledged.
pub const HANDOVER_IDLE_SENDER: Duration = Duration::from_secs(60);
/// A receiver forgets a stream that was silent for this long without a connection.
pub const HANDOVER_IDLE_RECEIVER: Duration = Duration::from_secs(600);
/// Dwell before traffic moves to a direct way that came back, unless configured otherwise (at most 1 s).
pub const HANDOVER_DWELL: Duration = Duration::from_millis(200);
/// Upper bound of that dwell.
pub const HANDOVER_DWELL_MAX: Duration = Duration::from_secs(1);
/// First wait between repeats of an offer or of the end of a stream; doubles up to
/// [`HANDOVER_REPEAT_MAX`], and stops after [`HANDOVER_REPEATS`].
pub const HANDOVER_REPEAT_WAIT: Duration = Duration::from_millis(200);
/// Longest wait between those repeats.
pub const HANDOVER_REPEAT_MAX: Duration = Duration::from_secs(5);
/// Repeats before an offer rests until the next connection or call: some two minutes.
pub const HANDOVER_REPEATS: u32 = 32;
/// Messages that a peer pushes into its direct way under one lock of that: as many as one write gathers.
pub const HANDOVER_PUSH_RUN: usize = 64;
/// Message Node stubs that one peer's messages may take: one for each domain.
pub const HANDOVER_STUBS_MAX: usize = 64;

/// How long a request waits for its response. The specification's runtimes use 15 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests of one bus that may be pending at once: bounds what a peer that never answers can pin.
pub const REQUESTS_MAX: usize = 65_536;
/// P2P connections of one runtime. Each idle one costs tens of kilobytes at its transport.
pub const P2P_CONNECTIONS_MAX: usize = 4_096;
/// Transports named in one invitation.
pub const TRANSPORTS_MAX: usize = 16;
/// Candidates of one Connection object: each is dialled, so this bounds what a peer can make us send.
pub const CANDIDATES_MAX: usize = 32;
/// Notes from the data plane that wait for the control plane, and their bytes: beyond, they are counted.
pub const INBOX_NOTES_MAX: usize = 65_536;
/// Bytes of those notes.
pub const INBOX_BYTES_MAX: usize = 64 << 20;
/// Notes handled in one step of the control plane.
pub const INBOX_BATCH: usize = 256;
/// Addresses learnt or dropped in one step of the control plane, so that nobody waits long for its
/// lock.
pub const STEP_ADDRESSES_MAX: usize = 1_024;
/// How long the rest of a remote Registry's list may take before what is not in it counts as gone.
pub const LIST_AWAITED: Duration = Duration::from_secs(10);
/// How long our own Registry's changes wait when they found no room.
pub const CHANGES_WAIT: Duration = Duration::from_millis(20);
/// Hyperties and data objects of one runtime.
pub const RESOURCES_MAX: usize = 100_000;
/// How long a registration at the domain registry lasts; it is renewed at half of it.
pub const REGISTRATION_EXPIRES: Duration = Duration::from_secs(3_600);
/// When a registration or path that found no room is said again: a queue that is drained has room by then.
pub const REGISTRATION_AGAIN: Duration = Duration::from_millis(250);
/// Remote runtimes that one runtime keeps account of, unless configured otherwise.
pub const REMOTES_MAX: usize = 65_536;
/// How long a remote runtime is known after nothing depends on it any more. A stream that it gave
/// or was given has ended by itself then.
pub const REMOTE_KEEP: Duration = Duration::from_secs(600);
/// Between two looks for remote runtimes that can be forgotten.
pub const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How long one is known at least, when there is no room: until its look-up has led to a set-up.
pub const MAKE_ROOM_KEEP: Duration = Duration::from_secs(2);
/// Remote runtimes forgotten by one look; further ones soon after.
pub const FORGET_MAX: usize = 64;
/// Between two such looks when there is no room for a new one: it looks at all of them.
pub const MAKE_ROOM_EVERY: Duration = Duration::from_secs(1);
/// First wait between two looks at a path that is about to change; it doubles up to
/// [`PATH_LOOK_MAX`].
pub const PATH_LOOK: Duration = Duration::from_millis(50);
/// Longest wait between two such looks.
pub const PATH_LOOK_MAX: Duration = Duration::from_secs(1);
/// Addresses associated with one remote runtime.
pub const ASSOCIATIONS_MAX: usize = 1_000_000;
/// Bytes of a Registry changes message that are not the list.
pub const CHANGES_HEADER_BYTES: usize = 8_192;
/// A Requester's first wait before it tries again; it doubles with each failure.
pub const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest wait before a Requester tries again.
pub const RETRY_CEILING: Duration = Duration::from_secs(30);
/// Doublings that a Requester which had yielded to the other side's leaves ahead to that: some two seconds.
pub const RETRIES_BEHIND: u32 = 3;
/// A set-up must be live by then, or it has failed.
pub const SETUP_TIMEOUT: Duration = Duration::from_secs(15);
/// An invitation must be confirmed by the stub in whose name it came by then: four messages by
/// Message Node.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// Invitations in one runtime's name that may wait for that beside a set-up or connection that
/// stands; beyond, the oldest gives way. As many as come, at a hundred a second, in the 80 ms that
/// a genuine one needs.
pub const CONTENDERS_MAX: usize = 8;
/// How long a Requester that is due waits for such an invitation first; once, or a forger could
/// stop it.
pub const CONTENDER_WAIT: Duration = Duration::from_secs(1);
/// Addresses being looked up or looked up in vain.
pub const LOOK_UPS_MAX: usize = 65_536;
/// When an address that was looked up in vain may be looked up again.
pub const LOOK_UP_FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// Bytes of a P2P frame before its payload: three RFC 9000 varints of at most 8 bytes.
pub const FRAME_HEAD_BYTES_MAX: usize = 24;
/// Frames gathered into one write. Batching is worth 3.5× up to about here and nothing beyond.
pub const WRITE_BATCH_ITEMS_MAX: usize = 64;
/// Messages posted together that are read before the first of them is sent: as many as one write has.
pub const POST_BURST: usize = 64;
/// Bursts after which who posts in a row lets other tasks run: those that write out what was posted, some 100
/// kB of small messages, which fill several writes of the socket and are still in the processor's caches.
pub const POST_BURSTS_IN_A_ROW: u32 = 4;
/// Waits that a burst makes for a peer that still holds messages not pushed yet, before it takes its turn
/// beside them: others may post one by one and keep it so. Each ends with the next thing that leaves, or
/// after 5 ms.
pub const POST_BURST_WAITS_MAX: u32 = 16;
/// Messages of one read that go into the hand-over under one lock: as many as one write has.
pub const READ_BATCH_MESSAGES: usize = 64;
/// Bytes gathered into one write, so that a batch of large messages doesn't hold its memory twice for long.
pub const WRITE_BATCH_BYTES_MAX: usize = 256 << 10;
/// Bytes of a payload up to which it is copied next to its frame head: up to here a copy costs less than a
/// second buffer to share, queue and release.
pub const COALESCED_BYTES_MAX: usize = 2 << 10;
/// Bytes of a close reason that we send. A reason is for a log line.
pub const CLOSE_REASON_BYTES_MAX: usize = 120;

/// Bytes of a QUIC stream in flight to us, unread, unless configured otherwise: four of the largest messages,
/// and 40 MB/s at a round trip of 100 ms.
pub const QUIC_RECEIVE_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes of a QUIC stream from us, unacknowledged, unless configured otherwise. As the receive window.
pub const QUIC_SEND_WINDOW_BYTES: u64 = 4 << 20;
/// Bytes of the largest UDP payload that a path is tried for, unless configured otherwise. A path within one
/// machine, or with jumbo frames, carries it, and needs a third of the packets then; any other stays at what
/// it carries. Ten of them, which the system is given at once, are within what it takes; larger ones are
/// worth little more.
pub const QUIC_DATAGRAM_BYTES_MAX: u16 = 4_096;
/// Datagrams given to the system at once where it cuts them itself: more are worth little more, and each
/// connection's turn is that much longer.
pub const QUIC_GATHERED_MAX: usize = 10;
/// Datagrams that a connection sends before other tasks have their turn, give or take one such gathering.
pub const QUIC_DATAGRAMS_A_TURN: usize = 20;
/// Batches that a connection takes out of its outbox before other tasks have their turn.
pub const QUIC_BATCHES_A_TURN: usize = 4;
/// Pieces of its stream, each of one packet at most, that a connection hands over before other tasks have
/// their turn.
pub const QUIC_CHUNKS_A_TURN: usize = 32;
/// Packets that a connection takes in before it answers and others have their turn.
pub const QUIC_PACKETS_A_TURN: usize = 128;
/// Packets that wait for a connection's turn; what comes beyond is lost. A full receive window of the
/// smallest packets that a path must carry is some 3,500.
pub const QUIC_PACKETS_WAITING_MAX: usize = 8_192;
/// Times that an endpoint asks its socket for more before other tasks have their turn.
pub const QUIC_RECEIVES_A_TURN: usize = 8;
/// Gathered datagrams, of up to 64 KB each, that one system call receives: little enough that they are still
/// in the processor's caches when they are decrypted, and the same memory serves the next ones.
pub const QUIC_RECEIVES_AT_ONCE: usize = 4;
/// Between two signs of life on an idle QUIC connection, unless configured otherwise: quinn-proto sends one
/// when it has neither sent nor received for so long, and from then on [`QUIC_IDLE`] counts. With an
/// acknowledgement held back for 25 ms before it, and what was under way, a peer that dies is noticed within a
/// second up to a round trip of 100 ms.
pub const QUIC_KEEP_ALIVE: Duration = Duration::from_millis(150);
/// Silence after which a QUIC peer counts as dead, unless configured otherwise.
pub const QUIC_IDLE: Duration = Duration::from_millis(750);
/// The shortest that can be configured for a runtime: less than a few round trips between cities, with a sign
/// of life each fifth of it.
pub const QUIC_IDLE_MIN: Duration = Duration::from_millis(100);
/// For one `dial` with all its candidates, and for one incoming handshake, unless configured otherwise.
pub const QUIC_HANDSHAKE: Duration = Duration::from_secs(3);
/// For the peer to acknowledge what was sent before an orderly close.
pub const QUIC_DRAIN: Duration = Duration::from_secs(2);
/// How long the best candidate is tried alone. A handshake costs both ends a millisecond or more of work with
/// keys, so where the best answers at once the others are not to cost as much again; a way that takes longer
/// than 10 ms there and back has them all tried together. RFC 8305 asks for 10 ms at least.
pub const QUIC_HEAD_START: Duration = Duration::from_millis(25);
/// Candidates of one peer tried at once; the rest of a longer list is ignored. A host has few interfaces.
pub const QUIC_CANDIDATES_MAX: usize = 8;
/// Incoming QUIC handshakes under way at once, and connections that wait for `accept`; what comes beyond is
/// left without an answer, and asks again.
pub const QUIC_HANDSHAKES_MAX: usize = 64;

/// For one WebSocket handshake, TCP connection included.
pub const WEBSOCKET_HANDSHAKE: Duration = Duration::from_secs(3);
/// For the peer to answer a WebSocket close.
pub const WEBSOCKET_CLOSE: Duration = Duration::from_secs(1);
/// Between two looks at a silent socket on a client, unless configured otherwise. A Message Node that
/// vanished is noticed within three of them.
pub const WEBSOCKET_KEEP_ALIVE_CLIENT: Duration = Duration::from_secs(2);
/// The same on a server, which has many sockets and can wait longer.
pub const WEBSOCKET_KEEP_ALIVE_SERVER: Duration = Duration::from_secs(15);
/// Bytes of a WebSocket's read buffer. A message taken out of it keeps it alive, so it is small.
pub const WEBSOCKET_READ_BUFFER_BYTES: usize = 32 << 10;
/// Bytes gathered before a WebSocket writes without being flushed.
pub const WEBSOCKET_WRITE_BUFFER_BYTES: usize = 64 << 10;
/// Frames read from one WebSocket before its task lets others run.
pub const WEBSOCKET_READ_BATCH_MAX: usize = 64;
/// For the sockets of a server to be written out when it shuts down; what is left then is lost with them.
pub const SERVE_DRAIN: Duration = Duration::from_secs(5);
/// How long a socket of a Message Node may stand without a session: a client's `open` has arrived by then, or
/// never will.
pub const SERVE_UNOPENED: Duration = Duration::from_secs(10);
/// Between two looks at a Message Node's timers. Its shortest is 30 s, and late by this harms nobody.
pub const SERVE_TICK: Duration = Duration::from_millis(500);
/// Sockets of one server, unless configured otherwise.
pub const WEBSOCKET_SOCKETS_MAX: usize = 65_536;
/// WebSocket handshakes under way at once; more wait in the system's backlog.
pub const WEBSOCKET_HANDSHAKES_MAX: usize = 256;
/// Subscriptions made through one session of a Message Node. A runtime with a subscription for each
/// of 100,000 Hyperties and data objects fits with room to spare; at some 300 bytes each this is 80
/// MB.
pub const SUBSCRIPTIONS_PER_SESSION_MAX: usize = 1 << 18;
/// Subscriptions of one Message Node, all sessions together: about a gigabyte of table.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 22;
/// Sockets open at one Message Node, with or without a session: what one machine's ports and file
/// descriptors carry without special set-up.
pub const NODE_SOCKETS_MAX: usize = 1 << 16;
/// Sessions of one Message Node, those waiting for their socket to come back included.
pub const NODE_SESSIONS_MAX: usize = 1 << 16;
/// Messages in the queue of one session: two seconds at half a million messages a second.
pub const SESSION_QUEUE_ITEMS_MAX: usize = 1 << 20;
/// Bytes in the queue of one session: sixty-four messages of the largest size, or as many small
/// ones as a slow reader lags behind in a second at full rate.
pub const SESSION_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Replies waiting on one socket ahead of its session's queue. Enough for a client that sends
/// several frames before it reads; past it a sender of rubbish that reads nothing costs no more
/// memory.
pub const SOCKET_REPLIES_MAX: usize = 64;
/// How long a session outlives its socket.
pub const SESSION_KEEP: Duration = Duration::from_secs(30);
/// Addresses given out by one allocation request: a response of some 60 KB.
pub const ALLOCATIONS_PER_REQUEST_MAX: usize = 1_024;
/// Addresses allocated to one session, as many as it may have subscriptions.
pub const ALLOCATIONS_PER_SESSION_MAX: usize = 1 << 18;
/// Bytes of one allocationKey; it is held for as long as the addresses are, and a URL fits.
pub const ALLOCATION_KEY_BYTES_MAX: usize = ADDRESS_BYTES_MAX;
/// Bytes of the scheme that addresses are allocated for; the longest in use has 16.
pub const ALLOCATION_SCHEME_BYTES_MAX: usize = 64;
/// Entries of the in-memory domain registry: with the next bound, 4 GB at the very worst.
pub const REGISTRY_ENTRIES_MAX: usize = 1 << 20;
/// Bytes of one domain registry entry as JSON text; usual ones have under a thousand.
pub const REGISTRY_ENTRY_BYTES_MAX: usize = 4 << 10;
/// Entries registered by one session.
pub const REGISTRY_ENTRIES_PER_SESSION_MAX: usize = 1 << 18;
/// Entries in one answer of the domain registry, so that at their largest they fit one message.
pub const REGISTRY_FOUND_MAX: usize = 160;
/// How long a domain registry entry that names no `expires` is live without a keep-alive.
pub const REGISTRY_EXPIRES_DEFAULT: Duration = Duration::from_secs(3_600);
/// The longest that a domain registry entry may ask to stay live without a keep-alive.
pub const REGISTRY_EXPIRES_MAX: Duration = Duration::from_secs(30 * 86_400);
/// How long a disconnected entry can still be found, before it is forgotten.
pub const REGISTRY_DISCONNECTED_KEEP: Duration = Duration::from_secs(86_400);

/// Messages that wait for one Hyperty; beyond, senders wait or are refused.
pub const HYPERTY_QUEUE_MESSAGES: usize = 65_536;
/// Bytes of those messages.
pub const HYPERTY_QUEUE_BYTES: usize = 64 << 20;
/// Messages that wait in one MN stub, for the socket or while the session is down.
pub const STUB_QUEUE_MESSAGES: usize = 65_536;
/// Bytes of those messages.
pub const STUB_QUEUE_BYTES: usize = 16 << 20;
/// How long a message waits for a session that is down before it is given back with 503.
pub const STUB_DEADLINE: Duration = Duration::from_secs(10);
/// How often a stub that is down looks for messages that have waited too long.
pub const STUB_EXPIRY_STEP: Duration = Duration::from_millis(250);
/// How long a stub waits for the answer to `open`, as the existing stubs do.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// A stub's first wait before it connects again; it doubles with each failure.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// The longest wait before a stub connects again: a Message Node that is back is noticed by then.
pub const RECONNECT_CEILING: Duration = Duration::from_secs(5);
/// Frames that wait for one direct connection: enough to fill one write of the socket many times over, little
/// enough that they are still in the processor's caches when they are written, and that what has to be sent
/// again after a cut is soon sent.
pub const P2P_OUTBOX_MESSAGES: usize = 1_024;
/// Bytes of those frames: four of the largest.
pub const P2P_OUTBOX_BYTES: usize = 4 << 20;
/// Between two looks at this machine's addresses. A set-up that began before a change is told of it
/// by then.
pub const INTERFACES_POLL: Duration = Duration::from_secs(2);
/// How long the endpoint may take to tell its peers that it goes.
pub const P2P_CLOSE: Duration = Duration::from_millis(500);
/// Events of a runtime that wait to be read: what a peer's window and a stub's queue give back when both end
/// at once, and some more.
pub const RUNTIME_EVENTS_MAX: usize = 2 * HANDOVER_WINDOW_MESSAGES + STUB_QUEUE_MESSAGES;
/// Bytes of the messages in those events: the same two, and as much again.
pub const RUNTIME_EVENTS_BYTES: usize = 2 * (HANDOVER_WINDOW_BYTES + STUB_QUEUE_BYTES);
/// The part of a runtime's shut-down that is kept for closing its sessions, at most; the rest is for
/// draining.
pub const SHUT_DOWN_CLOSE: Duration = Duration::from_secs(1);
/// How long somebody who waits for room waits before looking again without having been told.
pub const PROGRESS_POLL: Duration = Duration::from_millis(5);

/// Bytes of one input line of `trace` that are kept to be read: the largest message, its white space and a
/// `hop` that will be refused. Of a longer line only the size is known.
pub const TRACE_LINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 4_096;
/// Domains that `trace` plays a Message Node stub for; messages for further ones go by our own domain's.
pub const TRACE_DOMAINS_MAX: usize = 65_536;
