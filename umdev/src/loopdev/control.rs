//! `/dev/loop-control`.

use super::device::LoopDevice;
use super::request::{LOOP_CTL_ADD, LOOP_CTL_GET_FREE, LOOP_CTL_REMOVE};
use abi::dev::{Device, DeviceKind, SubDevice, UserMemory};
use abi::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most loop devices of a view: 256 minor numbers each within the 20 bits of a minor.
const DEVICES_MAX: u32 = 4096;

/// The loop devices of a view, and the character device that makes and removes them.
pub struct LoopControl {
    devices: Mutex<BTreeMap<u32, Arc<LoopDevice>>>,
    chain: Arc<Mutex<()>>,
}

impl LoopControl {
    /// A control with loop devices 0 to `count - 1`: the kernel starts with 8.
    ///
    /// # Errors
    /// - `ENOSPC` if `count` is above 4096.
    pub fn new(count: u32) -> Result<Self> {
        let control = Self { devices: Mutex::default(), chain: Arc::default() };
        for number in 0..count {
            control.add(&mut control.lock(), number)?;
        }
        Ok(control)
    }

    /// The device `/dev/loopN`.
    ///
    /// # Errors
    /// - `ENXIO` if there is none.
    pub fn device(&self, number: u32) -> Result<Arc<LoopDevice>> {
        self.lock().get(&number).cloned().ok_or(Errno::ENXIO)
    }

    /// All loop devices, by number.
    #[must_use]
    pub fn devices(&self) -> Vec<Arc<LoopDevice>> {
        self.lock().values().cloned().collect()
    }

    /// Answers a request of loop(4), whose `arg` is a number, not an address.
    ///
    /// # Errors
    /// - `LOOP_CTL_ADD`: `EEXIST` if there is such a device, `ENOSPC` above number 4095. A negative
    ///   number adds the lowest that is missing.
    /// - `LOOP_CTL_REMOVE`: `EINVAL` for a negative number, `ENODEV` if there is no such device,
    ///   `EBUSY` if it is bound or open.
    /// - `LOOP_CTL_GET_FREE`: `ENOSPC` if all 4096 are bound.
    /// - anything else: `ENOTTY`.
    pub fn request(&self, request: u32, arg: u64) -> Result<u64> {
        // The kernel takes an int.
        let low = u32::try_from(arg & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let wanted = u32::try_from(low.cast_signed()).ok();
        let mut devices = self.lock();
        match request {
            LOOP_CTL_ADD => {
                let number = match wanted {
                    Some(number) => number,
                    None => lowest_missing(&devices),
                };
                self.add(&mut devices, number)
            }
            LOOP_CTL_REMOVE => {
                let number = wanted.ok_or(Errno::EINVAL)?;
                devices.get(&number).ok_or(Errno::ENODEV)?.remove()?;
                devices.remove(&number);
                Ok(0)
            }
            LOOP_CTL_GET_FREE => match devices.values().find(|device| device.is_free()) {
                Some(device) => Ok(u64::from(device.number())),
                None => {
                    let number = lowest_missing(&devices);
                    self.add(&mut devices, number)
                }
            },
            _ => Err(Errno::ENOTTY),
        }
    }

    fn add(&self, devices: &mut BTreeMap<u32, Arc<LoopDevice>>, number: u32) -> Result<u64> {
        if devices.contains_key(&number) {
            return Err(Errno::EEXIST);
        }
        if number >= DEVICES_MAX {
            return Err(Errno::ENOSPC);
        }
        devices.insert(number, Arc::new(LoopDevice::new(number, self.chain.clone())?));
        Ok(u64::from(number))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<LoopDevice>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lowest_missing(devices: &BTreeMap<u32, Arc<LoopDevice>>) -> u32 {
    (0..DEVICES_MAX).find(|number| !devices.contains_key(number)).unwrap_or(DEVICES_MAX)
}

impl Device for LoopControl {
    fn kind(&self) -> DeviceKind {
        DeviceKind::Char
    }

    fn subdevices(&self) -> Vec<SubDevice> {
        vec![SubDevice { number: 0, size_bytes: 0, start_bytes: 0 }]
    }

    fn block(&self, number: u32) -> Result<Arc<dyn abi::block::BlockDevice>> {
        Err(if number == 0 { Errno::ENOTBLK } else { Errno::ENXIO })
    }

    fn open(&self, number: u32, _write: bool) -> Result<()> {
        if number == 0 { Ok(()) } else { Err(Errno::ENXIO) }
    }

    fn release(&self, _number: u32) {}

    fn ioctl(&self, number: u32, request: u32, arg: u64, _m: &mut dyn UserMemory) -> Result<u64> {
        if number != 0 {
            return Err(Errno::ENXIO);
        }
        self.request(request, arg)
    }
}
