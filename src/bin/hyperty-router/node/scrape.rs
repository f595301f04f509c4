//! `GET /metrics` by HTTP/1.1. What is answered is made by whoever reads the other end of the channel.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

/// Scrapes at once: some collectors and a curious person.
pub(super) const SCRAPES_MAX: usize = 16;
/// For one connection, from its first byte to its last: a page of some kilobytes.
const SCRAPE: Duration = Duration::from_secs(5);
/// Before another try when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where one page goes.
pub(super) type Scrape = oneshot::Sender<String>;

/// Serves until it is aborted.
pub(super) async fn serve(listener: TcpListener, asks: mpsc::Sender<Scrape>) {
    let room = Arc::new(Semaphore::new(SCRAPES_MAX));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "accept failed at the metrics");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let asks = asks.clone();
        tokio::spawn(async move {
            answer(stream, asks).await;
            drop(place);
        });
    }
}

/// One connection, one request.
async fn answer(stream: TcpStream, asks: mpsc::Sender<Scrape>) {
    let service = service_fn(|request| page(request, asks.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(SCRAPE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a scrape failed"),
        Err(_) => debug!("a scrape took too long"),
    }
}

async fn page(
    request: Request<Incoming>,
    asks: mpsc::Sender<Scrape>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "only /metrics is here\n".into()));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let (scrape, text) = oneshot::channel();
    let asked = asks.send(scrape).await.is_ok();
    Ok(match text.await {
        Ok(text) if asked => plain(StatusCode::OK, text),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".into()),
    })
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
