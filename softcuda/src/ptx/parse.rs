//! PTX modules: directives, kernels, declarations and operands. `decode` turns mnemonics into instructions.

use super::decode::decode;
use super::forms::{Shape, find};
use super::isa::{Instruction, Kernel, Op, Parameter, Reg};
use super::lex::{Token, tokens};
use std::collections::HashMap;
use std::sync::Arc;

pub type Result<T> = std::result::Result<T, String>;

/// Kernels by name.
pub type Module = HashMap<String, Arc<Kernel>>;

/// Parses a PTX text; the error names the line.
pub fn parse(source: &str) -> Result<Module> {
    let tokens = tokens(source);
    let mut cursor = Cursor { tokens: &tokens, at: 0 };
    let mut module = Module::new();
    let mut shared = HashMap::new();
    let mut shared_bytes = 0;
    while let Some(token) = cursor.next_token() {
        match token.text {
            ".version" | ".target" | ".address_size" => cursor.skip_line(token.line),
            ".visible" | ".weak" | ".extern" => {}
            ".shared" => declare_shared(&mut cursor, &mut shared, &mut shared_bytes)?,
            ".global" | ".const" => while cursor.next_word()? != ";" {},
            ".entry" => {
                let kernel = Body::new(&shared, shared_bytes).parse(&mut cursor)?;
                module.insert(kernel.name.clone(), Arc::new(kernel));
            }
            other => return Err(format!("PTX line {}: `{other}` is not supported", token.line)),
        }
    }
    Ok(module)
}

/// A place in the tokens.
pub struct Cursor<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn next_token(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }
    pub fn peek(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |t| t.text)
    }
    pub fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.line)
    }
    pub fn next_word(&mut self) -> Result<&'a str> {
        self.next_token().map(|t| t.text).ok_or_else(|| "the PTX ends early".to_string())
    }
    pub fn expect(&mut self, text: &str) -> Result<()> {
        let line = self.line();
        match self.next_word()? {
            word if word == text => Ok(()),
            word => Err(format!("PTX line {line}: expected `{text}`, found `{word}`")),
        }
    }
    /// Takes the next word if it is `text`.
    pub fn accept(&mut self, text: &str) -> bool {
        let found = self.peek() == text;
        self.at += usize::from(found);
        found
    }
    pub fn number(&mut self) -> Result<usize> {
        let line = self.line();
        let word = self.next_word()?;
        word.parse().map_err(|_| format!("PTX line {line}: `{word}` is not a number"))
    }
    fn skip_line(&mut self, line: u32) {
        while self.at < self.tokens.len() && self.line() == line {
            self.at += 1;
        }
    }
}

/// `.align N .type name[count]`: returns name, alignment, size.
fn declaration<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, usize, usize)> {
    let (mut align, mut element) = (1, 1);
    loop {
        match cursor.next_word()? {
            ".align" => align = cursor.number()?,
            ".ptr" | ".global" => {}
            word if word.starts_with('.') => element = type_size(word)?,
            name => {
                let mut count = 1;
                while cursor.accept("[") {
                    count *= cursor.number()?;
                    cursor.expect("]")?;
                }
                return Ok((name, align.max(element), element * count));
            }
        }
    }
}

fn type_size(ty: &str) -> Result<usize> {
    match ty.trim_start_matches(|c: char| !c.is_ascii_digit()) {
        "8" => Ok(1),
        "16" => Ok(2),
        "32" => Ok(4),
        "64" => Ok(8),
        _ => Err(format!("type `{ty}` is not supported")),
    }
}

fn declare_shared<'a>(cursor: &mut Cursor<'a>, shared: &mut HashMap<&'a str, usize>, bytes: &mut usize) -> Result<()> {
    let (name, align, size) = declaration(cursor)?;
    cursor.expect(";")?;
    *bytes = bytes.next_multiple_of(align);
    shared.insert(name, *bytes);
    *bytes += size;
    Ok(())
}

/// A kernel being read.
pub struct Body<'a> {
    pub kernel: Kernel,
    registers: HashMap<String, Reg>,
    literals32: HashMap<u32, u16>,
    literals64: HashMap<u64, u16>,
    labels: HashMap<&'a str, u32>,
    /// Branches whose label stands further down: instruction, label.
    pub branches: Vec<(usize, &'a str)>,
    shared: HashMap<&'a str, usize>,
    parameters: HashMap<&'a str, usize>,
    /// Which parameter a 64-bit register was loaded from, to find the pointers among the parameters.
    pub loaded: HashMap<Reg64, usize>,
    /// Instructions met before.
    shapes: HashMap<&'a str, Shape>,
}
type Reg64 = u16;

impl<'a> Body<'a> {
    fn new(shared: &HashMap<&'a str, usize>, shared_bytes: usize) -> Self {
        Body {
            kernel: Kernel { shared_bytes, max_threads: 1024, ..Kernel::default() },
            registers: HashMap::new(),
            literals32: HashMap::new(),
            literals64: HashMap::new(),
            labels: HashMap::new(),
            branches: Vec::new(),
            shared: shared.clone(),
            parameters: HashMap::new(),
            loaded: HashMap::new(),
            shapes: HashMap::new(),
        }
    }

    fn parse(mut self, cursor: &mut Cursor<'a>) -> Result<Kernel> {
        self.kernel.name = cursor.next_word()?.to_string();
        self.parse_parameters(cursor)?;
        while cursor.peek() != "{" {
            match cursor.next_word()? {
                ".maxntid" => {
                    let mut threads = cursor.number()?;
                    while cursor.accept(",") {
                        threads *= cursor.number()?;
                    }
                    self.kernel.max_threads = threads as u32;
                }
                ".minnctapersm" | ".reqntid" => drop(cursor.number()?),
                other => return Err(format!("PTX line {}: `{other}` is not supported", cursor.line())),
            }
        }
        let mut depth = 0;
        loop {
            match cursor.peek() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {
                    self.statement(cursor)?;
                    continue;
                }
            }
            cursor.next_word()?;
            if depth == 0 {
                break;
            }
        }
        self.kernel.code.push(Instruction { op: Op::Return, guard: None, line: cursor.line() });
        for (at, label) in std::mem::take(&mut self.branches) {
            let target = *self.labels.get(label).ok_or(format!("{}: no label {label}", self.kernel.name))?;
            self.kernel.code[at].op = Op::Branch { target };
        }
        Ok(self.kernel)
    }

    fn parse_parameters(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        cursor.expect("(")?;
        while !cursor.accept(")") {
            cursor.expect(".param")?;
            let (name, align, size) = declaration(cursor)?;
            let offset = self.kernel.parameter_bytes().next_multiple_of(align);
            self.kernel.parameters.push(Parameter { offset, size, is_pointer: false });
            self.parameters.insert(name, offset);
            cursor.accept(",");
        }
        Ok(())
    }

    fn statement(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        let line = cursor.line();
        let word = cursor.peek();
        match word {
            ";" => drop(cursor.next_word()?),
            ".reg" => {
                cursor.next_word()?;
                self.declare_registers(cursor)?;
            }
            ".shared" => {
                cursor.next_word()?;
                declare_shared(cursor, &mut self.shared, &mut self.kernel.shared_bytes)?;
            }
            ".pragma" => while cursor.next_word()? != ";" {},
            label if label.starts_with('$') => {
                cursor.next_word()?;
                cursor.expect(":")?;
                self.labels.insert(label, self.kernel.code.len() as u32);
            }
            _ => {
                let guard = self.guard(cursor)?;
                let op = decode(self, cursor).map_err(|e| format!("PTX line {line}: {e}"))?;
                cursor.expect(";")?;
                self.kernel.code.push(Instruction { op, guard, line });
            }
        }
        Ok(())
    }

    fn declare_registers(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        let ty = cursor.next_word()?;
        loop {
            let name = cursor.next_word()?;
            if cursor.accept("<") {
                for i in 0..cursor.number()? {
                    let register = self.new_register(ty)?;
                    self.registers.insert(format!("{name}{i}"), register);
                }
                cursor.expect(">")?;
            } else {
                let register = self.new_register(ty)?;
                self.registers.insert(name.to_string(), register);
            }
            if !cursor.accept(",") {
                return cursor.expect(";");
            }
        }
    }

    fn new_register(&mut self, ty: &str) -> Result<Reg> {
        let (count, make): (_, fn(u16) -> Reg) = match ty {
            ".pred" => (&mut self.kernel.predicates, Reg::Pred),
            _ if type_size(ty)? == 8 => (&mut self.kernel.registers64, Reg::R64),
            _ => (&mut self.kernel.registers32, Reg::R32),
        };
        let index = u16::try_from(*count).map_err(|_| "more than 65536 registers".to_string())?;
        *count += 1;
        Ok(make(index))
    }

    fn guard(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<(u16, bool)>> {
        if !cursor.accept("@") {
            return Ok(None);
        }
        let negate = cursor.accept("!");
        Ok(Some((self.predicate(cursor)?, negate)))
    }

    /// The shape of an instruction, where the interpreter knows it.
    pub fn shape(&mut self, mnemonic: &'a str) -> Option<Shape> {
        if let Some(&shape) = self.shapes.get(mnemonic) {
            return Some(shape);
        }
        let shape = find(mnemonic)?;
        self.shapes.insert(mnemonic, shape);
        Some(shape)
    }

    pub fn named(&self, name: &str) -> Option<Reg> {
        self.registers.get(name).copied()
    }
    pub fn parameter(&self, name: &str) -> Option<usize> {
        self.parameters.get(name).copied()
    }
    pub fn shared(&self, name: &str) -> Option<usize> {
        self.shared.get(name).copied()
    }

    /// A register name; `_` is a register that nobody reads.
    pub fn register(&mut self, cursor: &mut Cursor<'a>) -> Result<Reg> {
        match cursor.next_word()? {
            "_" => self.new_register(".b32"),
            name => self.named(name).ok_or(format!("unknown register `{name}`")),
        }
    }
    pub fn predicate(&mut self, cursor: &mut Cursor<'a>) -> Result<u16> {
        match self.register(cursor)? {
            Reg::Pred(p) => Ok(p),
            other => Err(format!("{other:?} is not a predicate")),
        }
    }
    /// A 32-bit operand: register, literal or the address of a shared variable.
    pub fn operand32(&mut self, cursor: &mut Cursor<'a>) -> Result<u16> {
        match self.operand(cursor)? {
            Operand::Register(Reg::R32(r)) => Ok(r),
            Operand::Literal(value) => self.literal32(value as u32),
            Operand::Register(other) => Err(format!("{other:?} is not a 32-bit register")),
        }
    }
    pub fn operand64(&mut self, cursor: &mut Cursor<'a>) -> Result<u16> {
        match self.operand(cursor)? {
            Operand::Register(Reg::R64(r)) => Ok(r),
            Operand::Literal(value) => self.literal64(value),
            Operand::Register(other) => Err(format!("{other:?} is not a 64-bit register")),
        }
    }

    fn operand(&mut self, cursor: &mut Cursor<'a>) -> Result<Operand> {
        let negative = cursor.accept("-");
        let word = cursor.next_word()?;
        if let Some(offset) = self.shared(word) {
            return Ok(Operand::Literal(offset as u64));
        }
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            return self.named(word).map(Operand::Register).ok_or(format!("unknown operand `{word}`"));
        }
        let value = literal(word).ok_or(format!("`{word}` is not a literal"))?;
        Ok(Operand::Literal(if negative { value.wrapping_neg() } else { value }))
    }

    pub fn literal32(&mut self, value: u32) -> Result<u16> {
        if let Some(&r) = self.literals32.get(&value) {
            return Ok(r);
        }
        let Reg::R32(r) = self.new_register(".b32")? else { unreachable!(".b32 is 32 bits") };
        self.literals32.insert(value, r);
        self.kernel.constants32.push((r, value));
        Ok(r)
    }
    pub fn literal64(&mut self, value: u64) -> Result<u16> {
        if let Some(&r) = self.literals64.get(&value) {
            return Ok(r);
        }
        let Reg::R64(r) = self.new_register(".b64")? else { unreachable!(".b64 is 64 bits") };
        self.literals64.insert(value, r);
        self.kernel.constants64.push((r, value));
        Ok(r)
    }
}

enum Operand {
    Register(Reg),
    Literal(u64),
}

/// Decimal, `0x…`, `0f…` (bits of an f32) and `0d…` (bits of an f64).
fn literal(word: &str) -> Option<u64> {
    let word = word.trim_end_matches('U');
    match word.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x" | "0f" | "0d") => u64::from_str_radix(&word[2..], 16).ok(),
        _ => word.parse().ok(),
    }
}
