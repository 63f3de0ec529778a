//! Mnemonics and operands to instructions. What is not listed here is refused when the module is loaded, with its line.

use super::isa::{Address, AtomOp, Combine, MemType, Op, Reg, ShuffleMode, Space, Special};
use super::lanes;
use super::mnemonic::Mnemonic;
use super::parse::{Body, Cursor, Result};

/// Decodes one instruction up to its semicolon.
pub fn decode<'a>(body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let m = Mnemonic::new(cursor.next_word()?);
    match m.base {
        "ret" | "exit" => Ok(Op::Return),
        "bra" => {
            body.branches.push((body.kernel.code.len(), cursor.next_word()?));
            Ok(Op::Branch { target: 0 })
        }
        "bar" | "barrier" => {
            cursor.expect("0")?;
            Ok(Op::Barrier)
        }
        "mov" => decode_move(&m, body, cursor),
        "ld" | "ldu" if m.has("param") => decode_parameter(&m, body, cursor),
        "ld" | "ldu" => decode_load(&m, body, cursor),
        "st" => decode_store(&m, body, cursor),
        "atom" | "red" => decode_atomic(&m, body, cursor),
        "shfl" => decode_shuffle(&m, body, cursor),
        "setp" => decode_compare(&m, body, cursor),
        "selp" => decode_select(&m, body, cursor),
        "cvt" => decode_convert(&m, body, cursor),
        "cvta" => decode_cvta(&m, body, cursor),
        "mad" | "fma" | "bfe" | "prmt" => decode_ternary(&m, body, cursor),
        "neg" | "abs" | "not" | "ex2" | "lg2" | "rcp" | "sqrt" | "rsqrt" => decode_unary(&m, body, cursor),
        "add" | "sub" | "mul" | "div" | "rem" | "min" | "max" | "and" | "or" | "xor" | "shl" | "shr" => {
            decode_binary(&m, body, cursor)
        }
        _ => Err(m.unsupported()),
    }
}

/// The destination and the comma after it.
fn destination<'a>(body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Reg> {
    let d = body.register(cursor)?;
    cursor.expect(",")?;
    Ok(d)
}

fn decode_move<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    if cursor.accept("{") {
        let (low, high) = pair(body, cursor)?;
        cursor.expect(",")?;
        return Ok(Op::Unpack { low, high, a: body.operand64(cursor)? });
    }
    let d = destination(body, cursor)?;
    if cursor.accept("{") {
        let (low, high) = pair(body, cursor)?;
        let Reg::R64(d) = d else { return Err(m.unsupported()) };
        return Ok(Op::Pack { d, low, high });
    }
    if let Some(which) = special(cursor.peek()) {
        cursor.next_word()?;
        return Ok(Op::Special { d, which });
    }
    unary(m, d, body, cursor)
}

/// `low, high}`: two 32-bit registers.
fn pair<'a>(body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<(u16, u16)> {
    let low = body.operand32(cursor)?;
    cursor.expect(",")?;
    let high = body.operand32(cursor)?;
    cursor.expect("}")?;
    Ok((low, high))
}

fn special(name: &str) -> Option<Special> {
    let axis = |suffix| match suffix {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        _ => None,
    };
    Some(match name.split_once('.') {
        Some(("%tid", a)) => Special::Thread(axis(a)?),
        Some(("%ntid", a)) => Special::BlockSize(axis(a)?),
        Some(("%ctaid", a)) => Special::Block(axis(a)?),
        Some(("%nctaid", a)) => Special::GridSize(axis(a)?),
        _ if name == "%laneid" => Special::Lane,
        _ if name == "%clock64" => Special::Clock,
        _ if name == "%globaltimer" => Special::GlobalTimer,
        _ => return None,
    })
}

fn decode_unary<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let d = destination(body, cursor)?;
    unary(m, d, body, cursor)
}

fn unary<'a>(m: &Mnemonic, d: Reg, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let unsupported = || m.unsupported();
    Ok(match d {
        Reg::Pred(d) => {
            let a = body.predicate(cursor)?;
            Op::Logic { f: lanes::logic(m.base).ok_or_else(unsupported)?, d, a, b: a }
        }
        Reg::R32(d) => {
            let f = lanes::unary32(m.base, m.ty(), &m.modifiers).ok_or_else(unsupported)?;
            Op::Unary32 { f, d, a: body.operand32(cursor)? }
        }
        Reg::R64(d) => {
            let f = lanes::unary64(m.base, m.ty()).ok_or_else(unsupported)?;
            Op::Unary64 { f, d, a: body.operand64(cursor)? }
        }
    })
}

fn decode_binary<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let unsupported = || m.unsupported();
    if m.has("sat") || m.has("rz") || m.has("rm") || m.has("rp") {
        return Err(m.unsupported());
    }
    let d = destination(body, cursor)?;
    match d {
        Reg::Pred(d) => {
            let f = lanes::logic(m.base).ok_or_else(unsupported)?;
            let a = body.predicate(cursor)?;
            cursor.expect(",")?;
            Ok(Op::Logic { f, d, a, b: body.predicate(cursor)? })
        }
        Reg::R32(d) => {
            let a = body.operand32(cursor)?;
            cursor.expect(",")?;
            let b = body.operand32(cursor)?;
            if let Some(f) = lanes::divide32(m.base, m.ty()) {
                return Ok(Op::Divide32 { f, d, a, b });
            }
            let f = lanes::binary32(m.base, m.ty(), &m.modifiers).ok_or_else(unsupported)?;
            Ok(Op::Binary32 { f, d, a, b })
        }
        Reg::R64(d) if m.has("wide") => {
            let f = lanes::multiply_wide(m.ty()).ok_or_else(unsupported)?;
            let a = body.operand32(cursor)?;
            cursor.expect(",")?;
            Ok(Op::MultiplyWide { f, d, a, b: body.operand32(cursor)? })
        }
        Reg::R64(d) => {
            let a = body.operand64(cursor)?;
            cursor.expect(",")?;
            if let Some(f) = lanes::shift64(m.base, m.ty()) {
                return Ok(Op::Shift64 { f, d, a, b: body.operand32(cursor)? });
            }
            let b = body.operand64(cursor)?;
            if let Some(f) = lanes::divide64(m.base, m.ty()) {
                return Ok(Op::Divide64 { f, d, a, b });
            }
            let f = lanes::binary64(m.base, m.ty()).ok_or_else(unsupported)?;
            Ok(Op::Binary64 { f, d, a, b })
        }
    }
}

fn decode_ternary<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let unsupported = || m.unsupported();
    let d = destination(body, cursor)?;
    let a = body.operand32(cursor)?;
    cursor.expect(",")?;
    let b = body.operand32(cursor)?;
    cursor.expect(",")?;
    match d {
        Reg::R64(d) if m.has("wide") => {
            let f = lanes::multiply_wide(m.ty()).ok_or_else(unsupported)?;
            Ok(Op::MultiplyAddWide { f, d, a, b, c: body.operand64(cursor)? })
        }
        Reg::R32(d) => {
            let f = lanes::ternary32(m.base, m.ty(), &m.modifiers).ok_or_else(unsupported)?;
            Ok(Op::Ternary32 { f, d, a, b, c: body.operand32(cursor)? })
        }
        _ => Err(m.unsupported()),
    }
}

fn decode_compare<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let relation = m.modifiers.first().copied().unwrap_or_default();
    let d = body.predicate(cursor)?;
    cursor.expect(",")?;
    let wide = m.memory_type()? == MemType::B64;
    let a = if wide { body.operand64(cursor)? } else { body.operand32(cursor)? };
    cursor.expect(",")?;
    let b = if wide { body.operand64(cursor)? } else { body.operand32(cursor)? };
    let mut with = None;
    if let Some(f) = m.modifiers.iter().skip(1).find_map(|base| lanes::logic(base)) {
        cursor.expect(",")?;
        let negate = cursor.accept("!");
        with = Some(Combine { f, p: body.predicate(cursor)?, negate });
    }
    if wide {
        let f = lanes::compare64(relation, m.ty()).ok_or_else(|| m.unsupported())?;
        return Ok(Op::Compare64 { f, d, a, b, with });
    }
    let f = lanes::compare32(relation, m.ty()).ok_or_else(|| m.unsupported())?;
    Ok(Op::Compare32 { f, d, a, b, with })
}

fn decode_select<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let d = destination(body, cursor)?;
    let wide = matches!(d, Reg::R64(_));
    let a = if wide { body.operand64(cursor)? } else { body.operand32(cursor)? };
    cursor.expect(",")?;
    let b = if wide { body.operand64(cursor)? } else { body.operand32(cursor)? };
    cursor.expect(",")?;
    let p = body.predicate(cursor)?;
    match d {
        Reg::R32(d) => Ok(Op::Select32 { d, a, b, p }),
        Reg::R64(d) => Ok(Op::Select64 { d, a, b, p }),
        Reg::Pred(_) => Err(m.unsupported()),
    }
}

fn decode_convert<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let unsupported = || m.unsupported();
    let [to, from] = m.types[..] else { return Err(m.unsupported()) };
    let d = destination(body, cursor)?;
    let wide_source = from.ends_with("64");
    Ok(match d {
        Reg::R32(d) if wide_source => {
            Op::Narrow { f: lanes::narrow(to, from).ok_or_else(unsupported)?, d, a: body.operand64(cursor)? }
        }
        Reg::R32(d) => {
            let f = lanes::convert32(to, from, &m.modifiers).ok_or_else(unsupported)?;
            Op::Unary32 { f, d, a: body.operand32(cursor)? }
        }
        Reg::R64(d) if !wide_source => {
            Op::Widen { f: lanes::widen(to, from).ok_or_else(unsupported)?, d, a: body.operand32(cursor)? }
        }
        _ => return Err(m.unsupported()),
    })
}

/// Addresses of global memory are the same in the generic space: a move. Its source is a pointer parameter.
fn decode_cvta<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let (Reg::R64(d), true) = (destination(body, cursor)?, m.has("global")) else { return Err(m.unsupported()) };
    let a = body.operand64(cursor)?;
    if let Some(&parameter) = body.loaded.get(&a) {
        body.kernel.parameters[parameter].is_pointer = true;
    }
    let f = lanes::unary64("cvta", m.ty()).ok_or_else(|| m.unsupported())?;
    Ok(Op::Unary64 { f, d, a })
}

/// `[name+offset]`; the name may be a register, a parameter or a shared variable.
fn bracket<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, i64)> {
    cursor.expect("[")?;
    let name = cursor.next_word()?;
    let mut offset = 0;
    if cursor.accept("+") {
        let negative = cursor.accept("-");
        offset = cursor.number()? as i64 * if negative { -1 } else { 1 };
    }
    cursor.expect("]")?;
    Ok((name, offset))
}

fn address<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Address> {
    let space = match (m.has("shared"), m.has("global")) {
        (true, false) => Space::Shared,
        (false, true) => Space::Global,
        _ => return Err(m.unsupported()),
    };
    let (name, offset) = bracket(cursor)?;
    let base = match body.shared(name) {
        Some(at) => Reg::R32(body.literal32(at as u32)?),
        None => body.named(name).ok_or(format!("unknown address `{name}`"))?,
    };
    Ok(Address { space, base, offset })
}

fn decode_parameter<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let d = destination(body, cursor)?;
    let (name, offset) = bracket(cursor)?;
    let start = body.parameter(name).ok_or(format!("unknown parameter `{name}`"))?;
    if let (Reg::R64(r), Some(index)) = (d, body.kernel.parameters.iter().position(|p| p.offset == start)) {
        body.loaded.insert(r, index);
    }
    Ok(Op::Parameter { d, offset: start + offset as usize, ty: m.memory_type()? })
}

/// One register, or a vector `{a, b, c, d}`.
fn registers<'a>(body: &mut Body<'a>, cursor: &mut Cursor<'a>, ty: MemType) -> Result<([Reg; 4], u8)> {
    let one = |body: &mut Body<'a>, cursor: &mut Cursor<'a>| {
        Ok::<_, String>(match ty {
            MemType::B64 => Reg::R64(body.operand64(cursor)?),
            _ => Reg::R32(body.operand32(cursor)?),
        })
    };
    let mut list = [Reg::R32(0); 4];
    if !cursor.accept("{") {
        list[0] = one(body, cursor)?;
        return Ok((list, 1));
    }
    let mut count = 0;
    while !cursor.accept("}") {
        *list.get_mut(count).ok_or("a vector of more than 4")? = one(body, cursor)?;
        count += 1;
        cursor.accept(",");
    }
    Ok((list, count as u8))
}

fn decode_load<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let ty = m.memory_type()?;
    let (d, count) = registers(body, cursor, ty)?;
    cursor.expect(",")?;
    Ok(Op::Load { d, count, ty, from: address(m, body, cursor)?, volatile: m.has("volatile") })
}

fn decode_store<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let ty = m.memory_type()?;
    let to = address(m, body, cursor)?;
    cursor.expect(",")?;
    let (v, count) = registers(body, cursor, ty)?;
    Ok(Op::Store { v, count, ty, to })
}

fn decode_atomic<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let name = ["add", "or", "max", "min", "exch"].into_iter().find(|name| m.has(name)).unwrap_or_default();
    let op = match (name, m.ty()) {
        ("add", "f32") => AtomOp::AddF32,
        ("add", "s32" | "u32") => AtomOp::Add,
        ("or", "b32") => AtomOp::Or,
        ("max", "s32") => AtomOp::MaxS32,
        ("max", "u32") => AtomOp::MaxU32,
        ("min", "s32") => AtomOp::MinS32,
        ("min", "u32") => AtomOp::MinU32,
        ("exch", "b32") => AtomOp::Exchange,
        _ => return Err(m.unsupported()),
    };
    let mut d = None;
    if m.base == "atom" {
        let Reg::R32(register) = destination(body, cursor)? else { return Err(m.unsupported()) };
        d = Some(register);
    }
    let at = address(m, body, cursor)?;
    cursor.expect(",")?;
    Ok(Op::Atomic { op, d, at, v: body.operand32(cursor)? })
}

fn decode_shuffle<'a>(m: &Mnemonic, body: &mut Body<'a>, cursor: &mut Cursor<'a>) -> Result<Op> {
    let mode = match m.modifiers[..] {
        ["sync", "up"] => ShuffleMode::Up,
        ["sync", "down"] => ShuffleMode::Down,
        ["sync", "bfly"] => ShuffleMode::Butterfly,
        ["sync", "idx"] => ShuffleMode::Index,
        _ => return Err(m.unsupported()),
    };
    let Reg::R32(d) = body.register(cursor)? else { return Err(m.unsupported()) };
    let ok = if cursor.accept("|") { Some(body.predicate(cursor)?) } else { None };
    let mut next = || {
        cursor.expect(",")?;
        body.operand32(cursor)
    };
    Ok(Op::Shuffle { mode, d, ok, a: next()?, b: next()?, c: next()?, members: next()? })
}
