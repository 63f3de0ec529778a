//! Mnemonics and operands to instructions. What `forms` does not list is refused when the module is loaded, with its line.

use super::forms::{Shape, combination};
use super::isa::{Address, AtomOp, Combine, L32, MemType, Op, Reg, ShuffleMode, Space, Special};
use super::mnemonic::Mnemonic;
use super::parse::{Body, Cursor, Result};

/// Decodes one instruction up to its semicolon.
pub fn decode<'a>(body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let m = Mnemonic::new(cursor.next_word()?);
    let shape = body.shape(m.whole).ok_or_else(|| m.unsupported())?;
    let mut r = Operands { body, cursor };
    Ok(match shape {
        Shape::Unary32(f) => Op::Unary32 { f, d: r.d32()?, a: r.first32()? },
        Shape::Binary32(f) => Op::Binary32 { f, d: r.d32()?, a: r.first32()?, b: r.next32()? },
        Shape::Divide32(f) => Op::Divide32 { f, d: r.d32()?, a: r.first32()?, b: r.next32()? },
        Shape::Ternary32(f) => Op::Ternary32 { f, d: r.d32()?, a: r.first32()?, b: r.next32()?, c: r.next32()? },
        Shape::Unary64(f) => Op::Unary64 { f, d: r.d64()?, a: r.first64()? },
        Shape::Binary64(f) => Op::Binary64 { f, d: r.d64()?, a: r.first64()?, b: r.next64()? },
        Shape::Divide64(f) => Op::Divide64 { f, d: r.d64()?, a: r.first64()?, b: r.next64()? },
        Shape::Shift64(f) => Op::Shift64 { f, d: r.d64()?, a: r.first64()?, b: r.next32()? },
        Shape::Widen(f) => Op::Widen { f, d: r.d64()?, a: r.first32()? },
        Shape::Narrow(f) => Op::Narrow { f, d: r.d32()?, a: r.first64()? },
        Shape::MultiplyWide(f) => Op::MultiplyWide { f, d: r.d64()?, a: r.first32()?, b: r.next32()? },
        Shape::MultiplyAddWide(f) => {
            Op::MultiplyAddWide { f, d: r.d64()?, a: r.first32()?, b: r.next32()?, c: r.next64()? }
        }
        Shape::Compare32(f) => {
            Op::Compare32 { f, d: r.d_predicate()?, a: r.first32()?, b: r.next32()?, with: r.combine(&m)? }
        }
        Shape::Compare64(f) => {
            Op::Compare64 { f, d: r.d_predicate()?, a: r.first64()?, b: r.next64()?, with: r.combine(&m)? }
        }
        Shape::Predicate(f) => {
            let d = r.d_predicate()?;
            match r.constant(&m)? {
                Some(all) => Op::Logic { f: if all { |_, _| u32::MAX } else { |_, _| 0 }, d, a: d, b: d },
                None => {
                    let a = r.first_predicate()?;
                    Op::Logic { f, d, a, b: a }
                }
            }
        }
        Shape::Predicates(f) => Op::Logic { f, d: r.d_predicate()?, a: r.first_predicate()?, b: r.next_predicate()? },
        Shape::Select32 => Op::Select32 { d: r.d32()?, a: r.first32()?, b: r.next32()?, p: r.next_predicate()? },
        Shape::Select64 => Op::Select64 { d: r.d64()?, a: r.first64()?, b: r.next64()?, p: r.next_predicate()? },
        Shape::Move32 => r.move32()?,
        Shape::Move64 => r.move64()?,
        Shape::Parameter => r.parameter(&m)?,
        Shape::Load => r.load(&m)?,
        Shape::Store => r.store(&m)?,
        Shape::Atomic(op) => {
            let d = r.d32()?;
            r.atomic(op, Some(d), &m)?
        }
        Shape::Reduce(op) => r.atomic(op, None, &m)?,
        Shape::ToGlobal => r.global_address()?,
        Shape::Shuffle(mode) => r.shuffle(mode)?,
        Shape::Branch => r.branch()?,
        Shape::Barrier => {
            r.cursor.expect("0")?;
            Op::Barrier
        }
        Shape::Return => Op::Return,
    })
}

/// Reads operands in order.
struct Operands<'b, 'a> {
    body: &'b mut Body<'a>,
    cursor: &'b mut Cursor<'a>,
}

impl<'a> Operands<'_, 'a> {
    fn comma(&mut self) -> Result<()> {
        self.cursor.expect(",")
    }

    /// A destination, with the comma after it.
    fn d(&mut self) -> Result<Reg> {
        let d = self.body.register(self.cursor)?;
        self.comma()?;
        Ok(d)
    }
    fn d32(&mut self) -> Result<u16> {
        match self.d()? {
            Reg::R32(d) => Ok(d),
            other @ (Reg::R64(_) | Reg::Pred(_)) => Err(format!("{other:?} is not a 32-bit register")),
        }
    }
    fn d64(&mut self) -> Result<u16> {
        match self.d()? {
            Reg::R64(d) => Ok(d),
            other @ (Reg::R32(_) | Reg::Pred(_)) => Err(format!("{other:?} is not a 64-bit register")),
        }
    }
    fn d_predicate(&mut self) -> Result<u16> {
        let d = self.body.predicate(self.cursor)?;
        self.comma()?;
        Ok(d)
    }

    fn first32(&mut self) -> Result<u16> {
        self.body.operand32(self.cursor)
    }
    fn first64(&mut self) -> Result<u16> {
        self.body.operand64(self.cursor)
    }
    fn first_predicate(&mut self) -> Result<u16> {
        self.body.predicate(self.cursor)
    }
    fn next32(&mut self) -> Result<u16> {
        self.comma()?;
        self.first32()
    }
    fn next64(&mut self) -> Result<u16> {
        self.comma()?;
        self.first64()
    }
    fn next_predicate(&mut self) -> Result<u16> {
        self.comma()?;
        self.first_predicate()
    }

    /// The predicate that a comparison is combined with, where its mnemonic says so.
    fn combine(&mut self, m: &Mnemonic) -> Result<Option<Combine>> {
        let Some(f) = combination(m.whole) else { return Ok(None) };
        self.comma()?;
        let negate = self.cursor.accept("!");
        Ok(Some(Combine { f, p: self.first_predicate()?, negate }))
    }

    fn move32(&mut self) -> Result<Op> {
        let d = self.d32()?;
        if self.cursor.accept("{") {
            let (low, high) = self.pair()?;
            return Ok(Op::Binary32 { f: halves, d, a: low, b: high });
        }
        if let Some(which) = special(self.cursor.peek()) {
            self.cursor.next_word()?;
            return Ok(Op::Special { d: Reg::R32(d), which });
        }
        Ok(Op::Unary32 { f: |a| *a, d, a: self.first32()? })
    }

    /// The literal that a predicate is set to, zero or not.
    fn constant(&mut self, m: &Mnemonic) -> Result<Option<bool>> {
        let negative = self.cursor.accept("-");
        if m.whole != "mov.pred" || !(negative || self.cursor.peek().starts_with(|c: char| c.is_ascii_digit())) {
            return Ok(None);
        }
        Ok(Some(self.cursor.number()? != 0))
    }

    fn move64(&mut self) -> Result<Op> {
        if self.cursor.accept("{") {
            let (low, high) = self.pair()?;
            return Ok(Op::Unpack { low, high, a: self.next64()? });
        }
        let d = self.d64()?;
        if self.cursor.accept("{") {
            let (low, high) = self.pair()?;
            return Ok(Op::Pack { d, low, high });
        }
        if let Some(which) = special(self.cursor.peek()) {
            self.cursor.next_word()?;
            return Ok(Op::Special { d: Reg::R64(d), which });
        }
        Ok(Op::Unary64 { f: |a| *a, d, a: self.first64()? })
    }

    /// `low, high}`: two registers of half the size.
    fn pair(&mut self) -> Result<(u16, u16)> {
        let pair = (self.first32()?, self.next32()?);
        self.cursor.expect("}")?;
        Ok(pair)
    }

    /// Addresses of global memory are the same in the generic space: a move. Its source is a pointer parameter.
    fn global_address(&mut self) -> Result<Op> {
        let (d, a) = (self.d64()?, self.first64()?);
        if let Some(&parameter) = self.body.loaded.get(&a) {
            self.body.kernel.parameters[parameter].is_pointer = true;
        }
        Ok(Op::Unary64 { f: |a| *a, d, a })
    }

    /// `[name+offset]`; the name may be a register, a parameter or a shared variable.
    fn bracket(&mut self) -> Result<(&'a str, i64)> {
        self.cursor.expect("[")?;
        let name = self.cursor.next_word()?;
        let mut offset = 0;
        if self.cursor.accept("+") {
            let negative = self.cursor.accept("-");
            offset = self.cursor.number()? as i64 * if negative { -1 } else { 1 };
        }
        self.cursor.expect("]")?;
        Ok((name, offset))
    }

    fn address(&mut self, m: &Mnemonic) -> Result<Address> {
        let space = if m.has("shared") { Space::Shared } else { Space::Global };
        let (name, offset) = self.bracket()?;
        let base = match self.body.shared(name) {
            Some(at) => Reg::R32(self.body.literal32(at as u32)?),
            None => self.body.named(name).ok_or(format!("unknown address `{name}`"))?,
        };
        Ok(Address { space, base, offset })
    }

    fn parameter(&mut self, m: &Mnemonic) -> Result<Op> {
        let d = self.d()?;
        let (name, offset) = self.bracket()?;
        let start = self.body.parameter(name).ok_or(format!("unknown parameter `{name}`"))?;
        if let (Reg::R64(r), Some(index)) = (d, self.body.kernel.parameters.iter().position(|p| p.offset == start)) {
            self.body.loaded.insert(r, index);
        }
        Ok(Op::Parameter { d, offset: start + offset as usize, ty: m.memory_type()? })
    }

    /// One register, or a vector `{a, b, c, d}`.
    fn registers(&mut self, ty: MemType) -> Result<([Reg; 4], u8)> {
        let mut list = [Reg::R32(0); 4];
        if !self.cursor.accept("{") {
            list[0] = self.value(ty)?;
            return Ok((list, 1));
        }
        let mut count = 0;
        while !self.cursor.accept("}") {
            *list.get_mut(count).ok_or("a vector of more than 4")? = self.value(ty)?;
            count += 1;
            self.cursor.accept(",");
        }
        Ok((list, count as u8))
    }

    fn value(&mut self, ty: MemType) -> Result<Reg> {
        Ok(if ty == MemType::B64 { Reg::R64(self.first64()?) } else { Reg::R32(self.first32()?) })
    }

    fn load(&mut self, m: &Mnemonic) -> Result<Op> {
        let ty = m.memory_type()?;
        let (d, count) = self.registers(ty)?;
        self.comma()?;
        Ok(Op::Load { d, count, ty, from: self.address(m)?, volatile: m.has("volatile") })
    }

    fn store(&mut self, m: &Mnemonic) -> Result<Op> {
        let ty = m.memory_type()?;
        let to = self.address(m)?;
        self.comma()?;
        let (v, count) = self.registers(ty)?;
        Ok(Op::Store { v, count, ty, to })
    }

    fn atomic(&mut self, op: AtomOp, d: Option<u16>, m: &Mnemonic) -> Result<Op> {
        Ok(Op::Atomic { op, d, at: self.address(m)?, v: self.next32()? })
    }

    fn shuffle(&mut self, mode: ShuffleMode) -> Result<Op> {
        let Reg::R32(d) = self.body.register(self.cursor)? else { return Err("a shuffle moves 32 bits".into()) };
        let ok = if self.cursor.accept("|") { Some(self.first_predicate()?) } else { None };
        let (a, b, c, members) = (self.next32()?, self.next32()?, self.next32()?, self.next32()?);
        Ok(Op::Shuffle { mode, d, ok, a, b, c, members })
    }

    fn branch(&mut self) -> Result<Op> {
        self.body.branches.push((self.body.kernel.code.len(), self.cursor.next_word()?));
        Ok(Op::Branch { target: 0 })
    }
}

/// Two 16-bit values as one of 32 bits.
fn halves(low: &L32, high: &L32) -> L32 {
    std::array::from_fn(|lane| low[lane] & 0xffff | high[lane] << 16)
}

/// The special registers. Those with an axis are written `%tid.x`.
pub const SPECIAL_REGISTERS: [(&str, Special); 16] = [
    ("%tid.x", Special::Thread(0)),
    ("%tid.y", Special::Thread(1)),
    ("%tid.z", Special::Thread(2)),
    ("%ntid.x", Special::BlockSize(0)),
    ("%ntid.y", Special::BlockSize(1)),
    ("%ntid.z", Special::BlockSize(2)),
    ("%ctaid.x", Special::Block(0)),
    ("%ctaid.y", Special::Block(1)),
    ("%ctaid.z", Special::Block(2)),
    ("%nctaid.x", Special::GridSize(0)),
    ("%nctaid.y", Special::GridSize(1)),
    ("%nctaid.z", Special::GridSize(2)),
    ("%laneid", Special::Lane),
    ("%smid", Special::Multiprocessor),
    ("%clock64", Special::Clock),
    ("%globaltimer", Special::GlobalTimer),
];

fn special(name: &str) -> Option<Special> {
    SPECIAL_REGISTERS.into_iter().find_map(|(known, which)| (known == name).then_some(which))
}
