public import Millrace

/// Devices that send readings as JSON, one after the other: the same ones for the same seed.
///
/// Each device's values walk at random, so that the telemetry compresses as real telemetry does.
/// A reading with its id and three properties takes about 240 bytes.
public struct SimulatedFleet: Sendable {
  /// The devices, by number.
  public let devices: [DeviceID]
  /// Each device's properties: its site, its firmware and the kind of its readings.
  public let properties: [Properties]
  /// When the last reading was made.
  public private(set) var time: Timestamp
  private var sensors: [Sensor]
  private var state: UInt64

  fileprivate struct Sensor {
    var temperature: Int
    var humidity: Int
    var pressure: Int
    var battery: Int
    var carbonDioxide: Int
    var count = 0
  }

  private static let firmwares = ["1.4.2", "1.4.3", "1.5.0", "2.0.1", "2.1.0"]

  /// Makes a fleet.
  ///
  /// - Parameters:
  ///   - deviceCount: the number of devices.
  ///   - seed: decides everything that follows.
  ///   - start: the time before the first reading.
  public init(
    deviceCount: Int, seed: UInt64,
    start: Timestamp = Timestamp(microseconds: 1_748_736_000_000_000)
  ) {
    var state = seed
    var sensors: [Sensor] = []
    var devices: [DeviceID] = []
    var properties: [Properties] = []
    for number in 0..<deviceCount {
      func draw(_ bound: UInt64) -> Int { Int(Self.next(&state) % bound) }
      sensors.append(
        Sensor(
          temperature: 1_500 + draw(1_500), humidity: 3_000 + draw(4_000),
          pressure: 99_000 + draw(4_000), battery: 3_300 + draw(900),
          carbonDioxide: 400 + draw(600)))
      let site = Self.padded(draw(40), 2)
      let firmware = Self.firmwares[draw(5)]
      devices.append(DeviceID(stringLiteral: "sensor-" + Self.padded(number, 5)))
      properties.append([
        "site": "plant-\(site)", "fw": firmware, "ct": "application/json",
      ])
    }
    self.state = state
    time = start
    self.sensors = sensors
    self.devices = devices
    self.properties = properties
  }

  /// The next reading: replaces `body` by its JSON and returns the number of its device.
  public mutating func next(into body: inout [UInt8]) -> Int {
    let key = Self.next(&state)
    let noise = Self.next(&state)
    let device = Int(key % UInt64(sensors.count))
    time = Timestamp(microseconds: time.microseconds + 1 + Int64(key >> 40) % 999)
    body.removeAll(keepingCapacity: true)
    sensors[device].walk(noise)
    sensors[device].append(to: &body, noise: noise, time: time)
    return device
  }

  /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
  private static func next(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }
}

extension SimulatedFleet.Sensor {
  fileprivate mutating func walk(_ noise: UInt64) {
    func step(_ shift: UInt64, _ mask: UInt64, _ middle: Int) -> Int {
      Int(noise >> shift & mask) - middle
    }
    temperature += step(0, 31, 15) - (temperature > 4_500 ? 8 : 0) + (temperature < 500 ? 8 : 0)
    humidity = min(9_900, max(500, humidity + step(5, 63, 31)))
    pressure += step(11, 15, 7)
    carbonDioxide = max(350, carbonDioxide + step(15, 15, 7))
    if noise >> 20 & 63 == 0, battery > 2_900 { battery -= 1 }
    count += 1
  }

  fileprivate func append(to body: inout [UInt8], noise: UInt64, time: Timestamp) {
    body.append("{\"temperature\":", decimal: temperature, places: 2)
    body.append(",\"humidity\":", decimal: humidity, places: 2)
    body.append(",\"pressure\":", decimal: pressure, places: 2)
    body.append(",\"co2\":", decimal: carbonDioxide, places: 0)
    body.append(",\"battery\":", decimal: battery, places: 3)
    body.append(",\"rssi\":", decimal: -50 - Int((noise >> 30) % 45), places: 0)
    body.append(",\"light\":", decimal: 100 + temperature / 10 + Int(noise >> 48 & 7), places: 0)
    body.append(",\"vibration\":", decimal: 5 + Int(noise >> 52 & 31), places: 3)
    body.append(",\"seq\":", decimal: count, places: 0)
    body.append(",\"ts\":\"", instant: time)
    body.append(contentsOf: "\",\"status\":\"".utf8)
    body.append(contentsOf: (noise >> 40 & 255 == 0 ? "warn" : "ok").utf8)
    body.append(contentsOf: "\"}".utf8)
  }
}

extension [UInt8] {
  /// Appends a text and a number with a fixed number of decimal places, given as an integer.
  fileprivate mutating func append(_ text: StaticString, decimal number: Int, places: Int) {
    // SAFETY: the buffer of a static text lives for ever; its bytes are copied.
    text.withUTF8Buffer { unsafe append(contentsOf: $0) }
    if number < 0 { append(UInt8(ascii: "-")) }
    var divisor = 1
    var rest = number.magnitude
    while rest / UInt(divisor) >= 10 || divisor < Self.power(places) { divisor *= 10 }
    while divisor > 0 {
      append(UInt8(ascii: "0") + UInt8(rest / UInt(divisor)))
      rest %= UInt(divisor)
      if divisor == Self.power(places), places > 0 { append(UInt8(ascii: ".")) }
      divisor /= 10
    }
  }

  /// Appends a text and a time in milliseconds, as RFC 3339 has it.
  fileprivate mutating func append(_ text: StaticString, instant: Timestamp) {
    let milliseconds = Int(instant.microseconds / 1_000)
    let (day, time) = milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
    let date = Self.date(ofDay: day)
    append(text, digits: date.year, 4)
    append("-", digits: date.month, 2)
    append("-", digits: date.day, 2)
    append("T", digits: time / 3_600_000, 2)
    append(":", digits: time / 60_000 % 60, 2)
    append(":", digits: time / 1_000 % 60, 2)
    append(".", digits: time % 1_000, 3)
    append(UInt8(ascii: "Z"))
  }

  private mutating func append(_ text: StaticString, digits number: Int, _ count: Int) {
    // SAFETY: as above.
    text.withUTF8Buffer { unsafe append(contentsOf: $0) }
    var divisor = Self.power(count - 1)
    while divisor > 0 {
      append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
      divisor /= 10
    }
  }

  /// The date of a day after 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
  private static func date(ofDay day: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = day + 719_468
    let (era, dayOfEra) = shifted.quotientAndRemainder(dividingBy: 146_097)
    let year = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    let isNextYear = month >= 10
    return (
      year + era * 400 + (isNextYear ? 1 : 0), month + (isNextYear ? -9 : 3),
      dayOfYear - (153 * month + 2) / 5 + 1
    )
  }

  private static func power(_ places: Int) -> Int {
    (0..<places).reduce(1) { power, _ in power * 10 }
  }
}
