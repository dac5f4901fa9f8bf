//! Every frame reads back as it was written, and hostile bytes do no harm.

use super::*;

fn ups() -> Vec<Up<'static>> {
    vec![
        Up::Hello { protocol: PROTOCOL, agent: AgentState::None, first: 0, end: 0 },
        Up::Hello { protocol: 9, agent: AgentState::Running, first: 7, end: u64::MAX },
        Up::Hello { protocol: 9, agent: AgentState::Ended, first: 7, end: 7 },
        Up::Started { pid: 2 },
        Up::Output { offset: 1 << 40, bytes: b"{}\n" },
        Up::Output { offset: 0, bytes: b"" },
        Up::Errors { dropped: 12, bytes: b"\xff\xfe" },
        Up::AgentExited(AgentEnd::Code(-1)),
        Up::AgentExited(AgentEnd::Signal(9)),
        Up::AgentFailed { message: b"no such file" },
    ]
}

fn downs() -> Vec<Down<'static>> {
    vec![
        Down::Start(StartAgent {
            argv: vec![b"/bin/sh".to_vec(), Vec::new()],
            env: vec![(b"A".to_vec(), b"b=c".to_vec())],
            cwd: b"/workspace".to_vec(),
        }),
        Down::Input { id: u64::MAX, last: false, bytes: b"hello" },
        Down::Input { id: 3, last: true, bytes: b"" },
        Down::CloseInput,
        Down::Ack { offset: 99 },
        Down::Signal(AgentSignal::Interrupt),
        Down::Signal(AgentSignal::Terminate),
        Down::Signal(AgentSignal::Kill),
        Down::Stop { grace: Duration::from_millis(1500) },
    ]
}

fn frames(bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((frame, taken)) = Frame::first(rest).unwrap() {
        frames.push(frame);
        rest = &rest[taken..];
    }
    assert_eq!(rest, b"", "no byte is left over");
    frames
}

#[test]
fn what_is_said_is_what_is_understood() {
    let mut bytes = Vec::new();
    for up in ups() {
        up.encode(&mut bytes).unwrap();
    }
    let understood: Vec<_> = frames(&bytes).into_iter().map(Up::decode).collect();
    assert_eq!(understood, ups().into_iter().map(Ok).collect::<Vec<_>>());

    let mut bytes = Vec::new();
    for down in downs() {
        down.encode(&mut bytes).unwrap();
    }
    let understood: Vec<_> = frames(&bytes).into_iter().map(Down::decode).collect();
    assert_eq!(understood, downs().into_iter().map(Ok).collect::<Vec<_>>());
}

#[test]
fn a_frame_that_is_not_whole_is_waited_for() {
    let mut bytes = Vec::new();
    Up::Output { offset: 1, bytes: b"abc" }.encode(&mut bytes).unwrap();
    for cut in 0..bytes.len() {
        assert_eq!(Frame::first(&bytes[..cut]), Ok(None), "{cut}");
    }
}

#[test]
fn a_frame_that_says_it_is_huge_is_refused_before_it_comes() {
    let bytes = [OUTPUT, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(Frame::first(&bytes), Err(WireError::TooLong { bytes: u32::MAX as usize }));
}

#[test]
fn a_start_that_is_too_long_is_refused_and_leaves_no_trace() {
    let argv = vec![vec![b'x'; FRAME_BYTES_MAX]];
    let mut bytes = b"before".to_vec();
    let start = Down::Start(StartAgent { argv, env: Vec::new(), cwd: Vec::new() });
    assert!(matches!(start.encode(&mut bytes), Err(WireError::TooLong { .. })));
    assert_eq!(bytes, b"before");
}

#[test]
fn every_truncation_and_every_longer_payload_is_malformed() {
    let mut bytes = Vec::new();
    let all = ups();
    let fixed = all.iter().filter(|up| !matches!(up, Up::AgentFailed { .. }));
    for up in fixed {
        bytes.clear();
        up.encode(&mut bytes).unwrap();
        let kind = bytes[0];
        let payload = &bytes[HEADER_BYTES..];
        let needed = match up {
            Up::Output { .. } | Up::Errors { .. } => 8,
            _ => payload.len(),
        };
        for cut in 0..needed {
            let frame = Frame { kind, payload: &payload[..cut] };
            assert_eq!(Up::decode(frame), Err(WireError::Payload { kind }), "{up:?} cut to {cut}");
        }
    }
    let kind = STARTED;
    let frame = Frame { kind, payload: &[0; 5] };
    assert_eq!(Up::decode(frame), Err(WireError::Payload { kind }));
    let kind = OUTPUT;
    let frame = Frame { kind, payload: &vec![0; 8 + CHUNK_BYTES_MAX + 1] };
    assert_eq!(Up::decode(frame), Err(WireError::Payload { kind }));
    assert_eq!(Up::decode(Frame { kind: 0, payload: b"" }), Err(WireError::Kind { kind: 0 }));
    assert_eq!(Up::decode(Frame { kind: ACK, payload: b"" }), Err(WireError::Kind { kind: ACK }));
}

#[test]
fn a_start_that_claims_a_billion_words_allocates_none() {
    let mut payload = Vec::new();
    count(&mut payload, 1_000_000_000);
    let frame = Frame { kind: START, payload: &payload };
    assert_eq!(Down::decode(frame), Err(WireError::Payload { kind: START }));
}

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[4]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from_le_bytes(self.next().to_le_bytes()) % bound
    }
}

/// Whatever is understood says the same again; nothing panics.
fn understand(bytes: &[u8]) -> usize {
    let mut understood = 0;
    let mut rest = bytes;
    let mut again = Vec::new();
    while let Ok(Some((frame, taken))) = Frame::first(rest) {
        again.clear();
        if let Ok(up) = Up::decode(frame) {
            up.encode(&mut again).unwrap();
            assert_eq!(again, &rest[..taken]);
            understood += 1;
        } else if let Ok(down) = Down::decode(frame) {
            down.encode(&mut again).unwrap();
            assert_eq!(again, &rest[..taken]);
            understood += 1;
        }
        rest = &rest[taken..];
    }
    understood
}

#[test]
fn random_bytes_and_bent_frames_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut good = Vec::new();
    for up in ups() {
        up.encode(&mut good).unwrap();
    }
    for down in downs() {
        down.encode(&mut good).unwrap();
    }
    let mut understood = 0;
    for _ in 0..20_000 {
        let mut bent = good.clone();
        for _ in 0..random.next() % 4 {
            let at = random.below(bent.len());
            bent[at] = random.byte();
        }
        bent.truncate(random.below(bent.len() + 1));
        understood += understand(&bent);

        let length = random.next() % 64;
        let noise: Vec<u8> = (0..length)
            .map(|at| if at % 5 == 1 { random.byte() % 8 } else { random.byte() % 70 })
            .collect();
        understood += understand(&noise);
    }
    assert!(understood > 50_000, "the fuzz must reach the decoders: {understood}");
}
