//! What the host tells the zygote to do, packed by `wire`. Everything a child needs between
//! `clone` and `exec` lies ready in it, so that the child allocates nothing.

use std::ffi::CString;

use crate::wire::{Reader, Writer};

/// A box to clone. The descriptors of its packet are, in this order: the reply socket, three
/// standard descriptors, the scratch, the network namespace if `net`, the v2 cgroup if `cgroup`,
/// `procs` files of v1 cgroups, the detached trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: CString,
    pub(crate) hostname: CString,
    /// The uid and gid inside.
    pub(crate) inside: u32,
    /// The uid and gid in the zygote's user namespace.
    pub(crate) outside: u32,
    pub(crate) steps: Vec<Step>,
    /// Resource numbers and their hard and soft bounds.
    pub(crate) rlimits: Vec<(u64, u64)>,
    /// Paths with their landlock class.
    pub(crate) locks: Vec<(CString, Class)>,
    /// The ports it may connect to; `None` is any.
    pub(crate) ports: Option<Vec<u64>>,
    pub(crate) net: bool,
    pub(crate) cgroup: bool,
    pub(crate) procs: usize,
}

/// One mount to make, in the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Attach tree number `tree` at `target`.
    Tree { tree: usize, target: CString },
    /// Attach a folder of the scratch at `target`, with more attributes.
    Scratch { source: CString, target: CString, attrs: u64 },
    /// Mount an overlay over `lower` (as the option says it) at `target`.
    Overlay { lower: CString, upper: CString, work: CString, target: CString },
}

/// What landlock lets be done beneath a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// List folders.
    List,
    /// Read and execute.
    Read,
    /// Everything but devices.
    Write,
    /// Read and write, and ioctl, on a device.
    Device,
}

impl Class {
    const ALL: [Self; 4] = [Self::List, Self::Read, Self::Write, Self::Device];
}

impl Order {
    pub(crate) fn put(&self, w: &mut Writer) {
        let text = |w: &mut Writer, text: &CString| {
            w.text(text);
        };
        w.list(&self.argv, text).list(&self.env, text).text(&self.cwd).text(&self.hostname);
        w.u64(self.inside.into()).u64(self.outside.into()).list(&self.steps, Step::put);
        w.list(&self.rlimits, |w, (resource, bound)| {
            w.u64(*resource).u64(*bound);
        });
        w.list(&self.locks, |w, (path, class)| {
            w.text(path).u64(*class as u64);
        });
        w.u64(self.ports.is_some().into());
        w.list(self.ports.as_deref().unwrap_or_default(), |w, port| {
            w.u64(*port);
        });
        w.u64(self.net.into()).u64(self.cgroup.into()).usize(self.procs);
    }

    pub(crate) fn take(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            argv: r.list(Reader::text)?,
            env: r.list(Reader::text)?,
            cwd: r.text()?,
            hostname: r.text()?,
            inside: r.u32()?,
            outside: r.u32()?,
            steps: r.list(Step::take)?,
            rlimits: r.list(|r| Some((r.u64()?, r.u64()?)))?,
            locks: r.list(|r| Some((r.text()?, *Class::ALL.get(r.usize()?)?)))?,
            ports: {
                let some = r.u64()? != 0;
                let ports = r.list(Reader::u64)?;
                some.then_some(ports)
            },
            net: r.u64()? != 0,
            cgroup: r.u64()? != 0,
            procs: r.usize()?,
        })
    }
}

impl Step {
    fn put(w: &mut Writer, step: &Self) {
        match step {
            Self::Tree { tree, target } => w.u64(0).usize(*tree).text(target),
            Self::Scratch { source, target, attrs } => {
                w.u64(1).text(source).text(target).u64(*attrs)
            }
            Self::Overlay { lower, upper, work, target } => {
                w.u64(2).text(lower).text(upper).text(work).text(target)
            }
        };
    }

    fn take(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u64()? {
            0 => Self::Tree { tree: r.usize()?, target: r.text()? },
            1 => Self::Scratch { source: r.text()?, target: r.text()?, attrs: r.u64()? },
            2 => Self::Overlay {
                lower: r.text()?,
                upper: r.text()?,
                work: r.text()?,
                target: r.text()?,
            },
            _ => return None,
        })
    }
}

/// What a host without the right to mount lets the zygote do for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Clone a box.
    Spawn(Box<Order>),
    /// Make a user namespace in which `inside` of the files is `outside`.
    UserNs { inside: u32, outside: u32 },
    /// Clone a host path as a detached tree with these attributes.
    Tree { source: CString, attrs: u64 },
    /// Make a scratch file system.
    Scratch { options: Vec<(CString, CString)> },
    /// Make a network namespace, and listen on these loopback ports in it. With a descriptor,
    /// enter that one instead of making it.
    NetNs { ports: Vec<u64> },
    /// Wait for a child that the kernel does not report on.
    Reap { pid: u32 },
    /// Open the scratch of a living box, below the root that comes as a descriptor.
    Open,
}

impl Request {
    pub(crate) fn packet(&self) -> Writer {
        let mut writer = Writer::default();
        let w = &mut writer;
        match self {
            Self::Spawn(order) => order.put(w.u64(0)),
            Self::UserNs { inside, outside } => {
                w.u64(1).u64((*inside).into()).u64((*outside).into());
            }
            Self::Tree { source, attrs } => {
                w.u64(2).text(source).u64(*attrs);
            }
            Self::Scratch { options } => {
                w.u64(3).list(options, |w, (key, value)| {
                    w.text(key).text(value);
                });
            }
            Self::NetNs { ports } => {
                w.u64(4).list(ports, |w, port| {
                    w.u64(*port);
                });
            }
            Self::Reap { pid } => {
                w.u64(5).u64((*pid).into());
            }
            Self::Open => {
                w.u64(6);
            }
        }
        writer
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let r = &mut Reader(bytes);
        Some(match r.u64()? {
            0 => Self::Spawn(Box::new(Order::take(r)?)),
            1 => Self::UserNs { inside: r.u32()?, outside: r.u32()? },
            2 => Self::Tree { source: r.text()?, attrs: r.u64()? },
            3 => Self::Scratch { options: r.list(|r| Some((r.text()?, r.text()?)))? },
            4 => Self::NetNs { ports: r.list(Reader::u64)? },
            5 => Self::Reap { pid: r.u32()? },
            6 => Self::Open,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    #[test]
    fn every_request_survives_the_wire() {
        let order = Order {
            argv: vec![text("/bin/true"), text("")],
            env: vec![text("A=b")],
            cwd: text("/tmp"),
            hostname: text("box"),
            inside: 1000,
            outside: 2_000_000_000,
            steps: vec![
                Step::Tree { tree: 3, target: text("/run") },
                Step::Scratch { source: text("tmp"), target: text("/tmp"), attrs: 1 },
                Step::Overlay {
                    lower: text("lower/0"),
                    upper: text("upper/0"),
                    work: text("work/0"),
                    target: text("/workspace"),
                },
            ],
            rlimits: vec![(7, 4096)],
            locks: vec![(text("/usr"), Class::Read), (text("/dev"), Class::Device)],
            ports: Some(vec![8700]),
            net: true,
            cgroup: false,
            procs: 2,
        };
        let requests = [
            Request::Spawn(Box::new(order)),
            Request::UserNs { inside: 0, outside: 9 },
            Request::Tree { source: text("/usr"), attrs: 7 },
            Request::Scratch { options: vec![(text("size"), text("1"))] },
            Request::NetNs { ports: vec![1, 2] },
            Request::Reap { pid: 4 },
            Request::Open,
        ];
        for request in requests {
            let packet = request.packet();
            assert_eq!(Request::parse(packet.done()).as_ref(), Some(&request));
            let cut = &packet.done()[..packet.done().len() - 1];
            assert_eq!(Request::parse(cut), None);
        }
    }
}
