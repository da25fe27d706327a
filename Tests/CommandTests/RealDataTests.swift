import CommandSupport
import EventModel
import Foundation
import Testing

/// Data sets kept beside the repository, where they are there.
@Suite("Real telemetry")
struct RealDataTests {
  private static let folder = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "../shared/data").standardizedFileURL.path

  private static let isThere = FileManager.default.fileExists(atPath: folder)

  @Test(
    "LoRaWAN uplinks become events with their device and time",
    .enabled(if: isThere, "../shared/data is absent"))
  func lorawan() throws {
    var lines = LineReader(
      try InputFile("\(Self.folder)/lorawan-json/sainteynard-32-a.ndjson.zst").open())
    var parser = NDJSONParser(
      deviceField: try JSONPointer("/devEUI"), timeField: try JSONPointer("/_timestamp"))
    var count = 0
    var size = 0
    var devices: Set<DeviceID> = []
    while let line = try lines.next() {
      let event = try parser.parse(line)
      devices.insert(event.deviceID)
      #expect(event.body.bytes == line)
      size += event.body.count + 1
      count += 1
    }
    #expect(count == 9_786)
    #expect(size == 8_153_161)
    #expect(devices.count == 1)
  }

  @Test(
    "Air stations' rows become objects with numbers and texts",
    .enabled(if: isThere, "../shared/data is absent"))
  func airStations() throws {
    var reader = CSVReader(
      try InputFile("\(Self.folder)/air-stations/air-stations.csv.zst").open())
    guard case .record(let header)? = try reader.next() else { throw BadLine("no header") }
    var parser = try CSVParser(header: try CSVParser.header(header), deviceColumn: "station")
    var devices: Set<DeviceID> = []
    for row in 0..<10_000 {
      guard case .record(let record)? = try reader.next() else { throw BadLine("no row") }
      let event = try parser.parse(record)
      devices.insert(event.deviceID)
      _ = try JSONScanner.document(event.body.bytes.span)
      if row == 0 {
        #expect(
          String(decoding: event.body.bytes, as: UTF8.self)
            == #"{"ts":"2013-03-01T00:00:00","PM2.5":4,"PM10":4,"SO2":4,"NO2":7,"CO":300,"O3":77,"#
            + #""TEMP":-0.7,"PRES":1023,"DEWP":-18.8,"RAIN":0,"wd":"NNW","WSPM":4.4}"#)
      }
    }
    #expect(devices.count == 12)
  }
}
