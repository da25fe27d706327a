import FuzzHarness
import LogFormat

/// A decoder with a mistake that only a working fuzzer finds: it takes guidance by coverage,
/// through the library's own reader, to come to it.
///
/// `tools/fuzz/run` fails if it is not found.
enum Canary {
  static let target = FuzzTarget("canary", seeds: { [] }) { bytes in
    do throws(FormatError) {
      try examine(bytes)
    } catch {
      // A short input.
    }
  }

  private static func examine(_ bytes: [UInt8]) throws(FormatError) {
    var reader = ByteReader(bytes.span.bytes)
    guard try reader.integer(UInt8.self) == 0x4d else { return }
    guard try reader.integer(UInt8.self) == 0x52 else { return }
    guard try reader.variableLengthInteger() > 1 << 20 else { return }
    guard try reader.text(sizeMax: 8).utf8.count > 2 else { return }
    Fuzzing.crash("canary found")
  }
}
