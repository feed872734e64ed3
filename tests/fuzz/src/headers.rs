//! Slices whose headers are made from a few bytes.

/// Bytes of an input that make a slice.
pub const BYTES: usize = 10;

/// A slice of 2 x 2 pixels (or 4 x 4), explicit VR little endian without a meta group. The bytes
/// are its position, acquisition number, trigger time, acquisition time, echo time, image type,
/// instance number, series, pixels, and thickness with orientation and size.
pub fn slice(number: usize, bytes: &[u8]) -> Vec<u8> {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let one_of = |at: usize, values: &[&str]| values[usize::from(byte(at)) % values.len()].to_owned();
    let shift = [0.0, 0.02, 0.4, 1.5][usize::from(byte(0) & 3)];
    let height = 3.0 * f64::from(byte(0) >> 2 & 15) + shift;
    let side: u16 = if byte(9) & 0x30 == 0x30 { 4 } else { 2 };
    let orientation = if byte(9) & 0xc0 == 0xc0 { "0\\1\\0\\0\\0\\-1" } else { "1\\0\\0\\0\\1\\0" };
    let some =
        |at: usize, of: u8| if byte(at) % of == 0 { String::new() } else { (byte(at) % of).to_string() };
    let time = if byte(3) == 0 { String::new() } else { format!("1015{:02}.{}", byte(3) % 60, byte(3) / 60) };
    let mut object = Vec::new();
    let mut text = |group: u16, element: u16, vr: &str, value: &str| {
        if !value.is_empty() {
            push(&mut object, group, element, vr, value.as_bytes());
        }
    };
    text(
        0x0008,
        0x0008,
        "CS",
        &one_of(5, &["ORIGINAL\\PRIMARY\\M", "DERIVED\\SECONDARY\\M", "ORIGINAL\\PRIMARY\\P", ""]),
    );
    text(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.4");
    text(0x0008, 0x0018, "UI", &format!("1.2.{number}"));
    text(0x0008, 0x0032, "TM", &time);
    text(0x0008, 0x0060, "CS", "MR");
    text(0x0018, 0x0050, "DS", &one_of(9, &["3", "1.5", "", "6"]));
    text(0x0018, 0x0081, "DS", &one_of(4, &["4.2", "4.200000", "12", ""]));
    text(0x0018, 0x1060, "DS", &some(2, 100));
    text(0x0020, 0x000D, "UI", "1.3");
    text(0x0020, 0x000E, "UI", &format!("1.4.{}", byte(7) % 16));
    text(0x0020, 0x0012, "IS", &some(1, 4));
    text(0x0020, 0x0013, "IS", &some(6, 32));
    text(0x0020, 0x0032, "DS", &format!("1\\2\\{height}"));
    text(0x0020, 0x0037, "DS", orientation);
    text(0x0020, 0x0052, "UI", "1.5");
    for (element, value) in [(0x0002, 1), (0x0010, side), (0x0011, side)] {
        push(&mut object, 0x0028, element, "US", &u16::to_le_bytes(value));
    }
    push(&mut object, 0x0028, 0x0030, "DS", b"1\\1 ");
    for (element, value) in [(0x0100, 16), (0x0101, 16), (0x0102, 15), (0x0103, 0_u16)] {
        push(&mut object, 0x0028, element, "US", &value.to_le_bytes());
    }
    let pixels: Vec<u8> =
        (0..side * side).flat_map(|pixel| (u16::from(byte(8)) + pixel).to_le_bytes()).collect();
    object.extend([0xe0, 0x7f, 0x10, 0x00, b'O', b'W', 0, 0]);
    object.extend((pixels.len() as u32).to_le_bytes());
    object.extend(pixels);
    object
}

fn push(object: &mut Vec<u8>, group: u16, element: u16, vr: &str, value: &[u8]) {
    let padded = value.len() + value.len() % 2;
    object.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
    object.extend(vr.as_bytes());
    object.extend((padded as u16).to_le_bytes());
    object.extend(value);
    object.extend(std::iter::repeat_n(if vr == "UI" { 0 } else { b' ' }, padded - value.len()));
}
