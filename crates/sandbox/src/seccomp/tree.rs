//! Compiles rules to classic BPF: a balanced tree over the call numbers, so that a decision costs
//! about eight comparisons and the program stays short. Pure.

use libc::sock_filter;

use super::{Has, Then};

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;
/// Numbers with this bit are the x32 interface of `x86_64`.
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

fn plain(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn branch(code: u16, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code, jt: yes, jf: no, k }
}

/// The whole program: another architecture kills, x32 fails, an unlisted call does not exist.
pub(super) fn compile(mut rules: Vec<(u32, Then)>) -> Vec<sock_filter> {
    rules.sort_by_key(|(number, _)| *number);
    let mut program = vec![
        plain(LOAD, OFFSET_ARCH),
        branch(JUMP_EQUAL, ARCH, 1, 0),
        plain(RETURN, KILL_PROCESS),
        plain(LOAD, OFFSET_NR),
        branch(JUMP_AT_LEAST, X32, 0, 1),
        plain(RETURN, KILL_PROCESS),
    ];
    program.extend(node(&intervals(&rules)));
    program
}

/// From which number on which fate holds, beginning at 0; neighbours of one fate are one.
fn intervals(rules: &[(u32, Then)]) -> Vec<(u32, Then)> {
    let unlisted = Then::Fail(u16::try_from(libc::ENOSYS).expect("small"));
    let mut found: Vec<(u32, Then)> = Vec::new();
    let mut next = 0;
    let mut push = |from: u32, then: Then| {
        if found.last().is_none_or(|last| last.1 != then) {
            found.push((from, then));
        }
    };
    for (number, then) in rules {
        if *number > next {
            push(next, unlisted);
        }
        push(*number, *then);
        next = number + 1;
    }
    push(next, unlisted);
    found
}

fn node(intervals: &[(u32, Then)]) -> Vec<sock_filter> {
    if let [(_, then)] = intervals {
        return leaf(*then);
    }
    let (below, above) = intervals.split_at(intervals.len() / 2);
    let border = above.first().map_or(0, |(from, _)| *from);
    let (below, above) = (node(below), node(above));
    let far = u32::try_from(below.len()).expect("a filter has at most 4096 instructions");
    let mut program = match u8::try_from(far) {
        Ok(near) => vec![branch(JUMP_AT_LEAST, border, near, 0)],
        Err(_) => vec![branch(JUMP_AT_LEAST, border, 0, 1), plain(JUMP, far)],
    };
    program.extend(below);
    program.extend(above);
    program
}

fn leaf(then: Then) -> Vec<sock_filter> {
    let fail = |errno: u16| plain(RETURN, ERRNO | u32::from(errno));
    match then {
        Then::Allow => vec![plain(RETURN, ALLOW)],
        Then::Fail(errno) => vec![fail(errno)],
        Then::AllowIf(cases, errno) => alternatives(cases, plain(RETURN, ALLOW), fail(errno)),
        Then::FailIf(cases, errno) => alternatives(cases, fail(errno), plain(RETURN, ALLOW)),
    }
}

/// Tries one case after another. What the accumulator holds is not loaded again, so a list of
/// values of one argument costs two instructions each.
fn alternatives(cases: &[&[Has]], hit: sock_filter, miss: sock_filter) -> Vec<sock_filter> {
    let mut program = Vec::new();
    let mut held = None;
    for case in cases {
        let mut conditions = Vec::new();
        for has in *case {
            let load = (held != Some(has.arg)).then(|| plain(LOAD, OFFSET_ARGS + 8 * has.arg));
            let and = (has.mask != !0).then(|| plain(AND, has.mask));
            held = and.is_none().then_some(has.arg);
            conditions.push((load, and, has.value));
        }
        // A miss may come from the first condition, when a later one was not loaded yet.
        held = held.filter(|_| case.len() == 1);
        while let Some((load, and, value)) = conditions.first().copied() {
            conditions.remove(0);
            let length = |(load, and, _): &(Option<_>, Option<_>, u32)| {
                usize::from(load.is_some()) + usize::from(and.is_some()) + 1
            };
            let rest = conditions.iter().map(length).sum::<usize>() + 1;
            let rest = u8::try_from(rest).expect("a case has few conditions");
            program.extend([load, and].into_iter().flatten());
            program.push(branch(JUMP_EQUAL, value, 0, rest));
        }
        program.push(hit);
    }
    program.push(miss);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's interpreter would answer.
    fn run(program: &[sock_filter], arch: u32, number: u32, args: [u32; 6]) -> u32 {
        let load = |offset: u32| match offset {
            OFFSET_NR => number,
            OFFSET_ARCH => arch,
            _ => args[((offset - OFFSET_ARGS) / 8) as usize],
        };
        let (mut pc, mut a) = (0_usize, 0_u32);
        loop {
            let op = program[pc];
            pc += 1;
            match op.code {
                LOAD => a = load(op.k),
                AND => a &= op.k,
                JUMP => pc += op.k as usize,
                JUMP_EQUAL => pc += usize::from(if a == op.k { op.jt } else { op.jf }),
                JUMP_AT_LEAST => pc += usize::from(if a >= op.k { op.jt } else { op.jf }),
                RETURN => return op.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    const REFUSED: u32 = ERRNO | 0xd;

    const CASES: &[&[Has]] = &[
        &[Has { arg: 0, mask: !0, value: 1 }],
        &[Has { arg: 0, mask: !0, value: 16 }, Has { arg: 2, mask: !0, value: 0 }],
    ];

    #[test]
    fn the_tree_decides_as_the_list_says() {
        let rule = |number: u32| match number % 7 {
            0 => Some(Then::Allow),
            1 => Some(Then::Fail(1)),
            2 => Some(Then::AllowIf(CASES, 13)),
            3 => Some(Then::FailIf(CASES, 13)),
            _ => None,
        };
        let rules = (0..500).filter_map(|number| Some((number, rule(number)?))).collect();
        let program = compile(rules);
        for number in 0..600 {
            for args in [[1, 0, 5, 0, 0, 0], [16, 0, 0, 0, 0, 0], [16, 0, 5, 0, 0, 0], [2; 6]] {
                let holds = args[0] == 1 || (args[0] == 16 && args[2] == 0);
                let wanted = match (number < 500).then(|| rule(number)).flatten() {
                    None => ERRNO | u32::try_from(libc::ENOSYS).unwrap(),
                    Some(Then::Allow) => ALLOW,
                    Some(Then::Fail(errno)) => ERRNO | u32::from(errno),
                    Some(Then::AllowIf(..)) => {
                        if holds {
                            ALLOW
                        } else {
                            REFUSED
                        }
                    }
                    Some(Then::FailIf(..)) => {
                        if holds {
                            REFUSED
                        } else {
                            ALLOW
                        }
                    }
                };
                assert_eq!(run(&program, ARCH, number, args), wanted, "{number} {args:?}");
            }
        }
    }

    #[test]
    fn another_interface_kills() {
        let program = compile(vec![(1, Then::Allow)]);
        assert_eq!(run(&program, 0x4000_0003, 1, [0; 6]), KILL_PROCESS);
        assert_eq!(run(&program, ARCH, X32 | 1, [0; 6]), KILL_PROCESS);
        assert_eq!(run(&program, ARCH, u32::MAX, [0; 6]), KILL_PROCESS);
    }
}
