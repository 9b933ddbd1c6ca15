//! Where the structures of an image are.

use crate::ext_sums::ExtSums;
use crate::noise::Noise;
use crate::overlay::Overlay;
use crate::{ext_places, fat_places, iso_places, table_places};
use std::collections::BTreeMap;
use std::ops::Range;

/// The formats whose structures are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ext2, ext3, ext4.
    Ext,
    /// FAT12, FAT16, FAT32.
    Fat,
    /// ISO 9660.
    Iso,
    /// A disk with an MBR or a GPT.
    Table,
    /// qcow2.
    Qcow2,
}

/// What a structure's checksum is over; the numbers say whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    None,
    Super,
    Descriptor(u32),
    BlockBitmap(u32),
    InodeBitmap(u32),
    Inode(u32),
    /// A block of this inode's extent tree.
    Extent(u32),
    /// A block of a directory; of an index, with the place of its counts.
    Directory(u32, Option<usize>),
    Xattr,
    Journal,
    /// A GPT header, or an entry of the table behind it.
    Gpt(usize),
}

/// A structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) range: Range<usize>,
    pub(crate) sum: Sum,
}

/// The structures of an image by class: "inode", "directory", ...
#[derive(Default)]
pub struct Places {
    classes: BTreeMap<&'static str, Vec<Place>>,
    pub(crate) ext: Option<ExtSums>,
}

impl Places {
    /// The structures of an undamaged image.
    #[must_use]
    pub fn of(format: Format, image: &[u8]) -> Self {
        match format {
            Format::Ext => ext_places::find(image),
            Format::Fat => fat_places::find(image),
            Format::Iso => iso_places::find(image),
            Format::Table => table_places::find_table(image),
            Format::Qcow2 => table_places::find_qcow2(image),
        }
    }

    /// The names of the classes.
    pub fn classes(&self) -> impl Iterator<Item = &'static str> {
        self.classes.keys().copied()
    }

    pub(crate) fn add(&mut self, class: &'static str, range: Range<usize>, sum: Sum) {
        if !range.is_empty() {
            self.classes.entry(class).or_default().push(Place { range, sum });
        }
    }

    /// A structure: every class has the same chance.
    pub(crate) fn any(&self, noise: &mut Noise) -> (&'static str, &Place) {
        let (class, all) = self
            .classes
            .iter()
            .nth(noise.below(self.classes.len()))
            .expect("an image has structures");
        (class, &all[noise.below(all.len())])
    }

    /// Another structure of the same class.
    pub(crate) fn other(&self, class: &str, noise: &mut Noise) -> &Place {
        let all = &self.classes[class];
        &all[noise.below(all.len())]
    }

    /// Puts every checksum on again.
    pub fn seal_all(&self, image: &Overlay) {
        for place in self.classes.values().flatten() {
            self.seal(image, place);
        }
    }

    /// Makes the checksums right that the damage to a structure made wrong.
    pub(crate) fn seal(&self, image: &Overlay, place: &Place) {
        match (place.sum, &self.ext) {
            (Sum::None, _) => {}
            (Sum::Gpt(header), _) => table_places::seal(image, header),
            (_, Some(ext)) => ext.seal(image, place),
            (_, None) => {}
        }
    }
}
