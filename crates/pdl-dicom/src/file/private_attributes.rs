//! Private attributes of manufacturers. Each is in a block whose number the object chooses; the
//! block is found by the name of its creator (DICOM PS3.5, 7.8.1).

use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::file::text;

/// Blocks that creators in practice reserve: each further one costs a look into every object.
const BLOCKS: std::ops::RangeInclusive<u16> = 0x10..=0x1f;

/// How a value is stored, which an object in an implicit transfer syntax does not state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Characters, several values parted by backslashes.
    Text,
    /// Integers of 16 bits.
    Int16,
    /// Numbers of 32 bits.
    Float32,
}

/// A private attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Private {
    pub group: u16,
    pub creator: &'static str,
    /// How its Manufacturer begins, upper case: objects whose creators were removed have its first
    /// block.
    pub maker: &'static str,
    /// The last two digits of its element number.
    pub element: u16,
    pub stored: Stored,
}

impl Private {
    /// Text, or the first of its numbers as text; `None` if the object has no block of the creator,
    /// or no such attribute in it.
    pub(crate) fn read(&self, object: &InMemDicomObject) -> Option<String> {
        let is_creator = |block: &u16| {
            value(object, Tag(self.group, *block), Stored::Text).is_some_and(|name| name == self.creator)
        };
        let stripped = || {
            let maker = text(object, tags::MANUFACTURER).to_ascii_uppercase();
            let is_stripped = object.get(Tag(self.group, *BLOCKS.start())).is_none();
            (is_stripped && maker.starts_with(self.maker)).then_some(*BLOCKS.start())
        };
        let block = BLOCKS.into_iter().find(is_creator).or_else(stripped)?;
        value(object, Tag(self.group, block << 8 | self.element), self.stored)
    }
}

fn value(object: &InMemDicomObject, tag: Tag, stored: Stored) -> Option<String> {
    let text = match (object.get(tag)?.value().primitive()?, stored) {
        // Of unknown representation, as in implicit transfer syntaxes.
        (PrimitiveValue::U8(bytes), Stored::Text) => String::from_utf8_lossy(bytes).into_owned(),
        (PrimitiveValue::U8(bytes), Stored::Int16) => i16::from_le_bytes(*bytes.first_chunk()?).to_string(),
        (PrimitiveValue::U8(bytes), Stored::Float32) => f32::from_le_bytes(*bytes.first_chunk()?).to_string(),
        (other, _) => other.to_str().into_owned(),
    };
    Some(text.trim_matches([' ', '\0']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, VR};

    const B_VALUE: Private =
        Private { group: 0x2001, creator: "maker", maker: "MAKER", element: 0x03, stored: Stored::Float32 };

    #[test]
    fn the_block_is_that_of_the_creator() {
        let mut object = InMemDicomObject::new_empty();
        object.put_str(Tag(0x2001, 0x10), VR::LO, "another");
        object.put_str(Tag(0x2001, 0x11), VR::LO, "maker ");
        let put = |object: &mut InMemDicomObject, element, value: PrimitiveValue| {
            object.put(DataElement::new(Tag(0x2001, element), VR::UN, value));
        };
        put(&mut object, 0x1003, PrimitiveValue::F32([7.0].into_iter().collect()));
        assert_eq!(B_VALUE.read(&object), None);
        put(&mut object, 0x1103, PrimitiveValue::F32([500.0].into_iter().collect()));
        assert_eq!(B_VALUE.read(&object).as_deref(), Some("500"));
        put(&mut object, 0x1103, PrimitiveValue::U8(800.5_f32.to_le_bytes().into_iter().collect()));
        assert_eq!(B_VALUE.read(&object).as_deref(), Some("800.5"));
        let whole = Private { stored: Stored::Int16, ..B_VALUE };
        put(&mut object, 0x1103, PrimitiveValue::U8([3, 0].into_iter().collect()));
        assert_eq!(whole.read(&object).as_deref(), Some("3"));
        assert_eq!(Private { creator: "third", ..B_VALUE }.read(&object), None);
    }
}
