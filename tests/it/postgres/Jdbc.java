import java.math.BigDecimal;
import java.sql.*;
import java.util.*;

/** What Java's driver does against the PostgreSQL door; prints `name: what it saw`, a line each. */
public class Jdbc {
    static final String ORDERS = "SELECT id, customer, region, amount, ordered_on FROM local.main.orders ";
    static final String SLOW = "SELECT max(md5(CAST(a.n AS varchar) || CAST(b.n AS varchar))) FROM local.main.numbers a, local.main.numbers b";

    interface Work {
        Object run() throws SQLException;
    }

    static void show(String name, Work work) {
        try {
            System.out.println(name + ": " + work.run());
        } catch (SQLException error) {
            System.out.println(name + ": " + error.getSQLState() + " " + error.getMessage().replace('\n', ' '));
        }
    }

    static Connection open(String... more) throws SQLException {
        Properties settings = new Properties();
        settings.put("user", System.getenv("DOOR_USER"));
        settings.put("password", System.getenv("DOOR_PASSWORD"));
        settings.put("sslmode", "verify-full");
        settings.put("sslrootcert", System.getenv("DOOR_CA"));
        for (int i = 0; i < more.length; i += 2) settings.put(more[i], more[i + 1]);
        String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("DOOR_PORT") + "/dataos";
        return DriverManager.getConnection(url, settings);
    }

    /** Rows as lists, with these columns or with all. */
    static List<List<String>> rows(ResultSet found, int... columns) throws SQLException {
        List<List<String>> rows = new ArrayList<>();
        int count = found.getMetaData().getColumnCount();
        int[] wanted = columns.length > 0 ? columns : java.util.stream.IntStream.rangeClosed(1, count).toArray();
        while (found.next()) {
            List<String> row = new ArrayList<>();
            for (int column : wanted) row.add(found.getString(column));
            rows.add(row);
        }
        return rows;
    }

    static List<List<String>> ask(Connection door, String sql) throws SQLException {
        try (Statement statement = door.createStatement()) {
            return rows(statement.executeQuery(sql));
        }
    }

    /** What tools ask when they show a tree of tables. */
    static void metadata(Connection door) throws SQLException {
        DatabaseMetaData about = door.getMetaData();
        show("product", () -> about.getDatabaseProductName() + " " + about.getDatabaseMajorVersion());
        show("catalogs", () -> rows(about.getCatalogs()));
        show("schemas", () -> rows(about.getSchemas(null, "local%")));
        show("tables", () -> rows(about.getTables(null, null, "%", new String[] {"TABLE", "VIEW"}), 2, 3, 4));
        show("columns", () -> rows(about.getColumns(null, "local.main", "orders", "%"), 4, 5, 6, 12, 17, 18));
        show("all_columns", () -> rows(about.getColumns(null, null, "%", "%"), 3).size());
        show("keys", () -> rows(about.getPrimaryKeys(null, "local.main", "orders")));
        show("imported", () -> rows(about.getImportedKeys(null, "local.main", "orders")));
        show("exported", () -> rows(about.getExportedKeys(null, "local.main", "orders")));
        show("indexes", () -> rows(about.getIndexInfo(null, "local.main", "orders", false, true)));
        show("best", () -> rows(about.getBestRowIdentifier(null, "local.main", "orders", 1, true)));
        show("types", () -> rows(about.getTypeInfo(), 1).containsAll(List.of(List.of("int8"), List.of("text"))));
        show("procedures", () -> rows(about.getProcedures(null, null, "%")));
        show("functions", () -> rows(about.getFunctions(null, null, "%")));
        show("keywords", () -> List.of(about.getSQLKeywords().split(",")).contains("qualify"));
    }

    static void statements(Connection door) throws SQLException {
        show("rows", () -> ask(door, ORDERS + "ORDER BY id"));
        show("described", () -> {
            ResultSetMetaData columns = door.prepareStatement(ORDERS + "WHERE id = ?").getMetaData();
            return columns.getColumnTypeName(1) + " " + columns.getColumnClassName(5);
        });
        show("prepared", () -> {
            String one = ORDERS + "WHERE id >= ? AND region = ? AND ordered_on >= ? AND amount < ? ORDER BY id";
            PreparedStatement statement = door.prepareStatement(one);
            Set<Object> seen = new HashSet<>();
            // From the fifth time on the server keeps it, and values come in binary.
            for (int i = 0; i < 7; i++) {
                statement.setLong(1, 1);
                statement.setString(2, "EMEA");
                statement.setDate(3, java.sql.Date.valueOf("2026-01-02"));
                statement.setBigDecimal(4, new BigDecimal("30"));
                seen.add(rows(statement.executeQuery()));
            }
            return seen;
        });
        show("values", () -> {
            PreparedStatement statement = door.prepareStatement("SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e");
            statement.setInt(1, 1);
            statement.setBoolean(2, true);
            statement.setDouble(3, 1.5);
            statement.setNull(4, Types.VARCHAR);
            statement.setObject(5, UUID.fromString("00000000-0000-0000-0000-000000000001"));
            return rows(statement.executeQuery());
        });
        show("escapes", () -> ask(door, "SELECT {fn upper('a')} AS u, {d '2026-01-02'} AS d"));
        show("pages", () -> {
            door.setAutoCommit(false);
            Statement statement = door.createStatement();
            statement.setFetchSize(100);
            int count = rows(statement.executeQuery("SELECT n FROM local.main.numbers")).size();
            door.commit();
            door.setAutoCommit(true);
            return count;
        });
        show("several", () -> {
            Statement statement = door.createStatement();
            statement.execute("SELECT 1; SELECT 2");
            statement.getMoreResults();
            return rows(statement.getResultSet());
        });
        show("most", () -> {
            Statement statement = door.createStatement();
            statement.setMaxRows(3);
            return rows(statement.executeQuery("SELECT n FROM local.main.numbers")).size();
        });
        show("late", () -> {
            Statement statement = door.createStatement();
            statement.setQueryTimeout(1);
            return rows(statement.executeQuery(SLOW));
        });
        show("denied", () -> ask(door, "SELECT * FROM local.web.events"));
        show("after", () -> ask(door, "SELECT 4 AS four"));
        show("valid", () -> door.isValid(5));
    }

    public static void main(String[] arguments) throws SQLException {
        show("bound", () -> ask(open("channelBinding", "require", "requireAuth", "scram-sha-256"), "SELECT current_user"));
        Connection door = open();
        metadata(door);
        statements(door);
        show("simple", () -> {
            PreparedStatement statement = open("preferQueryMode", "simple").prepareStatement(ORDERS + "WHERE id < ?");
            statement.setInt(1, 2);
            return rows(statement.executeQuery());
        });
        TimeZone.setDefault(TimeZone.getTimeZone("Pacific/Auckland"));
        show("elsewhere", () -> {
            PreparedStatement statement = open().prepareStatement(ORDERS + "WHERE ordered_on = ?");
            statement.setDate(1, java.sql.Date.valueOf("2026-01-02"));
            return rows(statement.executeQuery(), 1, 5);
        });
    }
}
