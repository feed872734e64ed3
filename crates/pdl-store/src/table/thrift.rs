//! A parser of Thrift's compact protocol that finds the sizes in the headers of a Parquet file, so
//! that they are checked before a library relies on them. Source:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

/// Maximum nesting of structs and lists.
const DEEPEST: usize = 64;

const LONG_FIELD: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Calls `see` with every integer of the struct in `bytes` and the numbers of the fields that lead
/// to it, and returns the number of elements of all lists. `None` if the bytes are not such a
/// struct, or a list or a text would reach past their end.
pub(super) fn walk(bytes: &[u8], see: &mut dyn FnMut(&[i16], i64)) -> Option<u64> {
    let mut walk = Walk { bytes, path: Vec::new(), depth: 0, elements: 0, see };
    walk.structure()?;
    Some(walk.elements)
}

struct Walk<'a, 'b> {
    bytes: &'a [u8],
    path: Vec<i16>,
    depth: usize,
    elements: u64,
    see: &'b mut dyn FnMut(&[i16], i64),
}

impl Walk<'_, '_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    /// At most ten bytes of seven bits each, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number whose sign is its lowest bit.
    fn integer(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn structure(&mut self) -> Option<()> {
        let mut field = 0_i16;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            field = match header >> 4 {
                LONG_FIELD => i16::try_from(self.integer()?).ok()?,
                more => field.checked_add(more.into())?,
            };
            self.path.push(field);
            // The type of a boolean field is its value.
            if ![TRUE, FALSE].contains(&(header & 15)) {
                self.value(header & 15)?;
            }
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8) -> Option<()> {
        self.depth += 1;
        let read = if self.depth > DEEPEST { None } else { self.value_of(kind) };
        self.depth -= 1;
        read
    }

    fn value_of(&mut self, kind: u8) -> Option<()> {
        match kind {
            TRUE | FALSE | BYTE => self.skip(1),
            I16..=I64 => {
                let number = self.integer()?;
                (self.see)(&self.path, number);
                Some(())
            }
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | SET => {
                let header = self.byte()?;
                let size = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                self.values(size, &[header & 15])
            }
            MAP => match self.varint()? {
                0 => Some(()),
                size => {
                    let kinds = self.byte()?;
                    self.values(size, &[kinds >> 4, kinds & 15])
                }
            },
            STRUCT => self.structure(),
            _ => None,
        }
    }

    /// `size` times a value of each kind.
    fn values(&mut self, size: u64, kinds: &[u8]) -> Option<()> {
        // Each takes a byte at least.
        if size > self.bytes.len() as u64 {
            return None;
        }
        self.elements += size;
        for _ in 0..size {
            for kind in kinds {
                self.value(*kind)?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An integer and the fields that lead to it.
    type Seen = (Vec<i16>, i64);

    fn seen(bytes: &[u8]) -> Option<(u64, Vec<Seen>)> {
        let mut seen = Vec::new();
        let elements = walk(bytes, &mut |path, number| seen.push((path.to_vec(), number)))?;
        Some((elements, seen))
    }

    #[test]
    fn integers_are_found_by_their_fields() {
        // 1: i32 = -1, 2: i32 = 150, 5: {3: i16 = 1}, 6: [i32 2, i32 3], then the end.
        let bytes = [0x15, 1, 0x15, 0xac, 2, 0x3c, 0x34, 2, 0, 0x19, 0x25, 4, 6, 0];
        let (elements, integers) = seen(&bytes).unwrap();
        let expected = [(vec![1], -1), (vec![2], 150), (vec![5, 3], 1), (vec![6], 2), (vec![6], 3)];
        assert_eq!((elements, integers.as_slice()), (2, &expected[..]));
        for end in 0..bytes.len() {
            assert_eq!(seen(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_list_or_a_text_past_the_end_is_refused() {
        assert_eq!(seen(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 7, 0]), None);
        assert_eq!(seen(&[0x18, 0xff, 0xff, 0xff, 0xff, 7, 0]), None);
        assert_eq!(seen(&[0x1b, 0xff, 0xff, 3, 0x55, 0]), None);
        assert_eq!(seen(&[0x1c; 100_000]), None, "too deep");
        assert_eq!(seen(&[0x19; 100_000]), None, "too deep");
    }
}
