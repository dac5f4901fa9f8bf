//! Between a caller and an endpoint that speak different dialects: the request in the endpoint's, the
//! answer in the caller's. Holds no key and calls nobody.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;

use crate::endpoint::Endpoint;
use crate::limit::TRANSLATED_BYTES_MAX;
use crate::refusal::{Refusal, dialect};
use crate::relay::Broken;
use crate::route::Call;
use crate::talk::form::{Names, Piece};
use crate::talk::hear::{self, Events, Fault, Hear, Heard};
use crate::talk::say::{self, Answer, Say, Voice};
use crate::talk::send::{self, Target};
use crate::talk::{self};
use crate::usage::Used;

/// A request in the endpoint's dialect, and how its answer is wanted.
pub(crate) struct Translated {
    pub(crate) body: Bytes,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) names: Names,
}

/// The request in the dialect of the endpoint.
pub(crate) fn request(
    call: Call,
    body: &Bytes,
    endpoint: &Endpoint,
) -> Result<Translated, Refusal> {
    if !send::is_modest(body) {
        return Err(Refusal::BadRequest("it is made of too many values".to_owned()));
    }
    let request = talk::read(call.api(), call.wanted(), body).map_err(Refusal::BadRequest)?;
    let target =
        Target { api: endpoint.api, model: &endpoint.model, max_tokens: endpoint.max_tokens };
    let written = send::write(&request, &target).map_err(|what| Refusal::Foreign {
        what,
        endpoint: endpoint.name.clone(),
        speaks: dialect(endpoint.api),
    })?;
    Ok(Translated {
        body: written.to_string().into(),
        stream: request.stream,
        include_usage: request.include_usage,
        names: request.names,
    })
}

/// What an answer used, as far as it has been heard. Shared by who hears it and who accounts for it.
pub(crate) type Told = Arc<Mutex<Option<Used>>>;

/// Both sides of a translated answer.
pub(crate) struct Sides {
    /// The caller's dialect.
    pub(crate) to: model::ModelApi,
    /// Who speaks to it.
    pub(crate) voice: Voice,
    /// The endpoint's dialect and name.
    pub(crate) from: model::ModelApi,
    pub(crate) endpoint: String,
    pub(crate) told: Told,
}

impl Sides {
    fn fault(&self, fault: &Fault) -> Refusal {
        Refusal::Stated { endpoint: self.endpoint.clone(), status: 502, reason: fault.to_string() }
    }

    /// A whole answer in the caller's dialect; streamed all at once if `stream`.
    pub(crate) fn whole(self, body: &[u8], stream: bool) -> Result<Bytes, Refusal> {
        let heard = hear::whole(self.from, &self.voice.id, body);
        let pieces = heard.map_err(|fault| self.fault(&fault))?;
        let used = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Used(used) => Some(*used),
            _ => None,
        });
        let mut answer = Answer::default();
        for piece in pieces.iter().cloned() {
            answer.add(piece);
        }
        *self.told.lock() = used;
        if !stream {
            return Ok(say::whole(self.to, &self.voice, &answer).to_string().into());
        }
        let mut say = say::streamed(self.to, self.voice);
        let mut out = BytesMut::from(say.open());
        for piece in pieces {
            out.extend_from_slice(&say.piece(piece));
        }
        out.extend_from_slice(&say.close());
        Ok(out.freeze())
    }

    /// A streamed answer in the caller's dialect, as it comes.
    pub(crate) fn streamed(
        self,
        from: BoxStream<'static, Result<Bytes, Broken>>,
    ) -> BoxStream<'static, Result<Bytes, Broken>> {
        let hear = hear::streamed(self.from, &self.voice.id);
        let say = say::streamed(self.to, self.voice);
        let interpreter = Interpreter {
            events: Events::default(),
            hear,
            say,
            told: self.told,
            endpoint: self.endpoint,
            left: TRANSLATED_BYTES_MAX,
        };
        let state = (from, interpreter, Progress::Before);
        stream::unfold(state, |(mut from, mut interpreter, progress)| async move {
            let (item, progress) = match progress {
                Progress::Before => (Ok(interpreter.say.open()), Progress::Within),
                Progress::Within => match from.next().await {
                    Some(Ok(bytes)) => interpreter.bytes(&bytes),
                    Some(Err(broken)) => {
                        (Ok(interpreter.fail(&Fault::Unended)), Progress::Broken(broken))
                    }
                    None => interpreter.end(),
                },
                Progress::Broken(broken) => (Err(broken), Progress::Over),
                Progress::Over => return None,
            };
            Some((item, (from, interpreter, progress)))
        })
        .boxed()
    }
}

enum Progress {
    Before,
    Within,
    /// The caller was told why; now its connection ends.
    Broken(Broken),
    Over,
}

struct Interpreter {
    events: Events,
    hear: Box<dyn Hear>,
    say: Box<dyn Say>,
    told: Told,
    endpoint: String,
    /// The bytes that may still be heard.
    left: usize,
}

impl Interpreter {
    fn bytes(&mut self, bytes: &Bytes) -> (Result<Bytes, Broken>, Progress) {
        let mut out = BytesMut::new();
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            return (Ok(self.fail(&Fault::Garbled)), Progress::Broken(Broken::Endless));
        };
        self.left = left;
        let heard = self.events.push(bytes);
        let heard = heard.and_then(|heard| self.all(heard, &mut out));
        match heard {
            Ok(()) => (Ok(out.freeze()), Progress::Within),
            Err(fault) => {
                out.extend_from_slice(&self.fail(&fault));
                (Ok(out.freeze()), Progress::Broken(Broken::Endpoint))
            }
        }
    }

    fn all(&mut self, heard: Vec<Heard>, out: &mut BytesMut) -> Result<(), Fault> {
        for heard in heard {
            let Heard::Data(data) = heard else {
                out.extend_from_slice(&self.say.ping());
                continue;
            };
            let mut pieces = Vec::new();
            let told = self.hear.event(&data, &mut pieces);
            for piece in pieces {
                if let Piece::Used(used) = piece {
                    *self.told.lock() = Some(used);
                }
                out.extend_from_slice(&self.say.piece(piece));
            }
            told?;
        }
        Ok(())
    }

    fn end(&mut self) -> (Result<Bytes, Broken>, Progress) {
        let mut out = BytesMut::new();
        let rest = self.events.rest().into_iter().collect();
        let heard = self.all(rest, &mut out);
        if heard.is_ok() && self.hear.is_over() {
            out.extend_from_slice(&self.say.close());
            return (Ok(out.freeze()), Progress::Over);
        }
        out.extend_from_slice(&self.fail(&heard.err().unwrap_or(Fault::Unended)));
        (Ok(out.freeze()), Progress::Broken(Broken::Endpoint))
    }

    fn fail(&mut self, fault: &Fault) -> Bytes {
        self.say.fail(&format!("the model endpoint `{}` failed: {fault}", self.endpoint))
    }
}
