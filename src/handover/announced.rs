//! What the decoder of one P2P link knows: which stream its numbers belong to. It decodes no frames.

use crate::{
    handover::control::{Control, ControlError},
    message::Hop,
};

/// The stream that one direct connection announced; one for each connection, dropped with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announced(Option<u128>);

impl Announced {
    /// Reads a control frame of the connection; true if it was an announcement, which then needs no other
    /// handling. Cost for every other word: a search for `"stream"` as the word.
    ///
    /// # Errors
    /// [`ControlError`] if it is an announcement that is wrong.
    pub fn read(&mut self, control: &str) -> Result<bool, ControlError> {
        if memchr::memmem::find(control.as_bytes(), br#""control":"stream""#).is_none() {
            return Ok(false);
        }
        match Control::read(control)? {
            Control::Stream { stream } => {
                self.0 = Some(stream);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The hop of a message frame with `number`; `None` for number 0, a plain message, and when the link has
    /// announced no stream: such a frame breaks the protocol if its number is not 0.
    pub fn hop(&self, number: u64) -> Option<Hop> {
        self.0.filter(|_| number > 0).map(|stream| Hop { stream, number })
    }
}
