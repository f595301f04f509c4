//! The P2P frame against its oracle.
//!
//! Goal: what is written is read, and any bytes are read as the naive decoder reads them, whatever chunks
//! they come in. Method: property tests, the examples of the RFC, the fuzz corpus replayed.

#[path = "../fuzz/bodies/frame.rs"]
mod fuzz_body;
#[path = "support/naive_frame.rs"]
mod naive_frame;

use bytes::{Bytes, BytesMut};
use fuzz_body::chunked;
use hyperty_router::{
    link::Outgoing,
    message::Hop,
    transport::frame::{
        BatchEncoder, Frame, FrameDecoder, FrameError, OPENING, VARINT_MAX, read_varint,
        write_varint,
    },
};
use naive_frame::{PAYLOAD_BYTES_MAX, naive};
use proptest::prelude::*;

fn encode(items: &[Outgoing]) -> Bytes {
    let mut encoder = BatchEncoder::default();
    encoder.reserve(items);
    items.iter().for_each(|item| encoder.push(item));
    let bytes = encoder.bytes();
    let whole = Bytes::from(encoder.take().concat());
    assert_eq!(whole.len(), bytes, "the encoder counts what it gives");
    whole
}

fn item() -> impl Strategy<Value = Outgoing> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        (0..PAYLOAD_BYTES_MAX).prop_map(|bytes| vec![b'x'; bytes]),
    ];
    let hop = prop::option::of(prop_oneof![1..100u64, 16_000..17_000u64, 1..VARINT_MAX]);
    (payload, hop, any::<bool>()).prop_map(|(payload, number, control)| {
        let bytes = Bytes::from(payload);
        match control {
            true => Outgoing::Control(bytes),
            false => {
                Outgoing::Message { bytes, hop: number.map(|number| Hop { stream: 7, number }) }
            }
        }
    })
}

fn expected(item: &Outgoing) -> Frame {
    match item.clone() {
        Outgoing::Message { bytes, hop } => {
            Frame::Message { number: hop.map_or(0, |hop| hop.number), bytes }
        }
        Outgoing::Control(bytes) => Frame::Control(bytes),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_any_chunks(
        items in prop::collection::vec(item(), 0..20),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let (frames, end) = chunked(&encode(&items), &cuts);
        prop_assert_eq!(frames, items.iter().map(expected).collect::<Vec<_>>());
        prop_assert_eq!(end, Ok(true));
    }

    #[test]
    fn any_bytes_in_any_chunks_are_read_as_the_naive_decoder_reads_them(
        items in prop::collection::vec(item(), 0..4),
        noise in prop::collection::vec(prop_oneof![0..3u8, 0x40..0x60u8, any::<u8>()], 0..40),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut bytes = encode(&items).to_vec();
        bytes.extend(noise);
        let bytes = Bytes::from(bytes);
        prop_assert_eq!(chunked(&bytes, &cuts), naive(&bytes));
    }

    #[test]
    fn a_varint_is_read_back(value in 0..=VARINT_MAX, shift in 0..62u32) {
        let mut bytes = BytesMut::new();
        write_varint(&mut bytes, value >> shift);
        prop_assert_eq!(read_varint(&bytes), Some((value >> shift, bytes.len())));
        prop_assert_eq!(read_varint(&bytes[..bytes.len() - 1]), None);
    }
}

/// The examples of RFC 9000, appendix A.1.
#[test]
fn varints_are_those_of_the_rfc() {
    let examples: [(&[u8], u64); 5] = [
        (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
        (&[0x40, 0x25], 37),
    ];
    for (bytes, value) in examples {
        assert_eq!(read_varint(bytes), Some((value, bytes.len())));
    }
}

#[test]
fn a_frame_within_a_chunk_is_a_slice_of_it() {
    let message = Outgoing::Message { bytes: Bytes::from_static(b"{}"), hop: None };
    let chunk = encode(&[message.clone(), message]);
    let mut decoder = FrameDecoder::new(100);
    decoder.feed(chunk.clone());
    while let Some(Frame::Message { bytes, .. }) = decoder.next_frame().unwrap() {
        assert!(chunk.as_ptr_range().contains(&bytes.as_ptr()));
    }
    assert!(decoder.is_between_frames());
}

/// The announced length alone is enough to refuse: no payload byte has come.
#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes() {
    let mut head = BytesMut::new();
    write_varint(&mut head, 1 << 40);
    let mut decoder = FrameDecoder::new(PAYLOAD_BYTES_MAX);
    decoder.feed(head.freeze());
    let error = FrameError::TooLong { bytes: 1 << 40, bytes_max: PAYLOAD_BYTES_MAX };
    assert_eq!(decoder.next_frame(), Err(error));
}

#[test]
fn the_opening_is_a_control_frame_without_bytes() {
    assert_eq!(encode(&[Outgoing::Control(Bytes::new())]), OPENING.as_slice());
}

/// Each file of the fuzz corpus, as the fuzzer would run it.
#[test]
fn the_fuzz_corpus_is_replayed() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/frame");
    let files = std::fs::read_dir(corpus).expect("the corpus is part of the project");
    let inputs = files.map(|file| std::fs::read(file.expect("it is listed").path()));
    let count = inputs.inspect(|input| fuzz_body::run(input.as_ref().expect("it is read"))).count();
    assert!(count >= 5, "only {count} files");
}
