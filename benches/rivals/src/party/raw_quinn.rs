//! Raw quinn: one stream, 64 frames a write, segmentation offload on, everything else as quinn has it.

use std::{net::Ipv4Addr, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::{Outcome, Party};
use crate::{
    console::Console,
    work::{Author, Checker, FRAMES_A_WRITE, MESSAGE_BYTES, Writer},
};

const LENGTH_BYTES: usize = 4;
const FRAME_BYTES: usize = LENGTH_BYTES + MESSAGE_BYTES;
const READ_CHUNKS: usize = 32;

pub struct RawQuinn {
    _endpoint: Endpoint,
    _connection: Connection,
    send: SendStream,
    frames: Frames,
    writer: Writer,
    checker: Checker,
}

/// The frames of a stream, in whatever chunks it comes.
struct Frames {
    stream: RecvStream,
    chunks: std::collections::VecDeque<Bytes>,
    partial: BytesMut,
}

impl RawQuinn {
    pub async fn open(author: Author, address: &[String], console: &Console) -> Outcome<Self> {
        let (endpoint, connection, send, stream) = match author {
            Author::Bob => accept(console).await?,
            Author::Alice => dial(address).await?,
        };
        let other = if author == Author::Alice { Author::Bob } else { Author::Alice };
        let mut party = RawQuinn {
            _endpoint: endpoint,
            _connection: connection,
            send,
            frames: Frames { stream, chunks: Default::default(), partial: BytesMut::new() },
            writer: Writer::new(author),
            checker: Checker::new(other),
        };
        // The stream exists for the accepting side with its first bytes.
        match author {
            Author::Alice => party.ping().await?,
            Author::Bob => party.echo().await?,
        }
        Ok(party)
    }

    fn frame(&mut self, buffer: &mut BytesMut) {
        buffer.put_u32(MESSAGE_BYTES as u32);
        self.writer.append(buffer);
    }

    async fn one(&mut self) -> Outcome<()> {
        let mut buffer = BytesMut::with_capacity(FRAME_BYTES);
        self.frame(&mut buffer);
        Ok(self.send.write_chunk(buffer.freeze()).await?)
    }
}

impl Party for RawQuinn {
    async fn send(&mut self, messages: u64) -> Outcome<()> {
        let mut left = messages as usize;
        while left > 0 {
            let frames = left.min(FRAMES_A_WRITE);
            let mut buffer = BytesMut::with_capacity(frames * FRAME_BYTES);
            for _ in 0..frames {
                self.frame(&mut buffer);
            }
            self.send.write_chunk(buffer.freeze()).await?;
            left -= frames;
        }
        Ok(())
    }

    async fn take(&mut self, messages: u64) -> Outcome<()> {
        for _ in 0..messages {
            self.frames.next(&mut self.checker).await?;
        }
        Ok(())
    }

    async fn ping(&mut self) -> Outcome<()> {
        self.one().await?;
        self.frames.next(&mut self.checker).await
    }

    async fn echo(&mut self) -> Outcome<()> {
        self.frames.next(&mut self.checker).await?;
        self.one().await
    }
}

impl Frames {
    async fn next(&mut self, checker: &mut Checker) -> Outcome<()> {
        while !self.take_one(checker) {
            let mut chunks: [Bytes; READ_CHUNKS] = std::array::from_fn(|_| Bytes::new());
            let count = self.stream.read_chunks(&mut chunks).await?.ok_or("the stream ended")?;
            self.chunks.extend(chunks.into_iter().take(count));
        }
        Ok(())
    }

    /// Checks the next frame if it is here whole.
    fn take_one(&mut self, checker: &mut Checker) -> bool {
        while let Some(chunk) = self.chunks.front_mut() {
            if self.partial.is_empty() && chunk.len() >= FRAME_BYTES {
                checker.check(&chunk[LENGTH_BYTES..FRAME_BYTES]);
                chunk.advance(FRAME_BYTES);
                return true;
            }
            let taken = (FRAME_BYTES - self.partial.len()).min(chunk.len());
            self.partial.put_slice(&chunk[..taken]);
            chunk.advance(taken);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            if self.partial.len() == FRAME_BYTES {
                checker.check(&self.partial[LENGTH_BYTES..]);
                self.partial.clear();
                return true;
            }
        }
        false
    }
}

type Connected = (Endpoint, Connection, SendStream, RecvStream);

async fn accept(console: &Console) -> Outcome<Connected> {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = key.cert.der().clone();
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der())?;
    let server = ServerConfig::with_single_cert(vec![certificate.clone()], private)?;
    let endpoint = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into())?;
    let hex: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
    console.say(&format!("ready {} {hex}", endpoint.local_addr()?));
    let connection = endpoint.accept().await.ok_or("the endpoint ended")?.await?;
    let (send, receive) = connection.accept_bi().await?;
    Ok((endpoint, connection, send, receive))
}

async fn dial(address: &[String]) -> Outcome<Connected> {
    let [address, hex] = address else { return Err("wanted: ADDRESS CERTIFICATE".into()) };
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    let certificate: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate))?;
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let connection = endpoint.connect(address.parse()?, "localhost")?.await?;
    let (send, receive) = connection.open_bi().await?;
    Ok((endpoint, connection, send, receive))
}
