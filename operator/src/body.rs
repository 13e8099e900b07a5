//! What others answer is read up to a limit: whoever runs a server must not fill the operator's memory.

use futures::StreamExt;
use reqwest::Response;

/// The body of an answer; nothing when it is longer than that, or does not come to its end.
pub async fn read(response: Response, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.ok()?;
        if body.len() + chunk.len() > most {
            tracing::warn!("an answer is longer than {most} bytes and is not read");
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}
