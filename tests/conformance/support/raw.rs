//! Protobuf by hand, for what no encoder would write.

/// A message under construction; fields come in the order in which they are put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Raw {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn key(&mut self, field: u32, wire: u64) {
        put_varint(&mut self.0, u64::from(field) << 3 | wire);
    }

    /// Wire type 0.
    pub(crate) fn varint(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        put_varint(&mut self.0, value);
        self
    }

    /// Wire type 0, an int64 (negative ones take ten bytes).
    pub(crate) fn int(self, field: u32, value: i64) -> Self {
        self.varint(field, value as u64)
    }

    /// Wire type 1.
    pub(crate) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_bits().to_le_bytes());
        self
    }

    /// Wire type 2.
    pub(crate) fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2);
        put_varint(&mut self.0, value.len() as u64);
        self.0.extend(value);
        self
    }

    /// Wire type 2, a message.
    pub(crate) fn message(self, field: u32, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// Wire type 2, numbers one after the other.
    pub(crate) fn packed(self, field: u32, values: &[u64]) -> Self {
        let mut packed = Vec::new();
        for value in values {
            put_varint(&mut packed, *value);
        }
        self.bytes(field, &packed)
    }

    /// Wire type 5.
    pub(crate) fn fixed32(mut self, field: u32, value: u32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A field of each wire type, groups included, that no message of ours has.
    pub(crate) fn unknown(self) -> Self {
        let mut with = self
            .varint(100, u64::MAX)
            .double(101, 1.5)
            .bytes(102, b"\xff\0later")
            .fixed32(103, 7);
        // A group within a group, wire types 3 and 4.
        with.key(104, 3);
        with = with.varint(1, 1);
        with.key(105, 3);
        with = with.bytes(2, b"x");
        with.key(105, 4);
        with.key(104, 4);
        with.varint((1 << 29) - 1, 0)
    }

    /// As many bytes as they are.
    pub(crate) fn then(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// `prometheus.Label`.
pub(crate) fn label(name: &[u8], value: &[u8]) -> Raw {
    Raw::new().bytes(1, name).bytes(2, value)
}

/// `prometheus.TimeSeries` with these labels and one sample.
pub(crate) fn series(labels: &[(&[u8], &[u8])], t_ms: i64, value: f64) -> Raw {
    let series = labels.iter().fold(Raw::new(), |s, (name, value)| {
        s.message(1, &label(name, value))
    });
    series.message(2, &Raw::new().double(1, value).int(2, t_ms))
}
